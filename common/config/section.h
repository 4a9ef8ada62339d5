// What a configuration says, whatever it was written in: options in their order, with the line
// where each stands.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "common/base/result.h"

namespace wgvitals::config {

using Value = std::variant<bool, std::int64_t, double, std::string>;

struct Item {
  std::string name;
  std::vector<Value> values;
  int line = 0;  // 0: not known (collectd does not tell)
};

struct Section {
  std::string file;  // as it is named in messages
  std::vector<Item> items;
};

// Something that the administrator should mend. The rest of the configuration holds.
struct Problem {
  int line = 0;
  std::string text;
};

// "wgvitals.toml:12: text"
std::string to_text(const std::string& file, const Problem& problem);

// The execd's file: TOML, in the form of Telegraf's external plugins: the first
// [[inputs.wgvitals]], or options at the top. A table is a run of items, each with the keys before
// its value. $NAME and
// ${NAME} are replaced by the environment's values where it has them. malformed, with the line,
// where it is no TOML.
Result<Section> parse_toml(std::string_view text, std::string file, std::vector<Problem>& problems);

// collectd.conf: all <Plugin wireguard> blocks, merged. For checking; the daemon itself hands its
// blocks to the plugin. malformed, with the line, where the blocks do not match.
Result<Section> parse_collectd(std::string_view text, std::string file);

}  // namespace wgvitals::config
