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

struct Schema;  // option.h

using Value = std::variant<bool, std::int64_t, double, std::string>;

struct Item {
  std::string name;
  std::vector<Value> values;
  int line = 0;  // 0: not known (collectd does not tell)
};

// A part that may come several times: [[inputs.wgvitals.ping]], <Ping>, <Probe "name">.
struct Block {
  std::string name;
  std::string title;  // what stands behind the name; empty: nothing
  std::vector<Item> items;
  int line = 0;
};

struct Section {
  std::string file;  // as it is named in messages
  std::vector<Item> items;
  std::vector<Block> blocks = {};
};

// Something that the administrator should mend. The rest of the configuration holds.
struct Problem {
  int line = 0;
  std::string text;
};

// A value as the title of a block.
std::string to_title(const Value& value);

// "wgvitals.toml:12: text"
std::string to_text(const std::string& file, const Problem& problem);

// Adds what was found in a block, with its name in front.
void add_problems(const Block& block, std::vector<Problem> found, std::vector<Problem>& problems);

// The execd's file: TOML, in the form of Telegraf's external plugins: the first
// [[inputs.wgvitals]], or options at the top. An array of tables is blocks, and so is a table that
// is named as a block of `schema`; any other table is a run of items, each with the keys before its
// value. $NAME and ${NAME} are replaced by the environment's values where it has them. malformed,
// with the line, where it is no TOML.
Result<Section> parse_toml(std::string_view text, std::string file, const Schema& schema,
                           std::vector<Problem>& problems);

// collectd.conf: all <Plugin wireguard> blocks, merged. For checking; the daemon itself hands its
// blocks to the plugin. A block within a block of ours becomes an item "<Name>", which no option
// takes. malformed, with the line, where the blocks do not match.
Result<Section> parse_collectd(std::string_view text, std::string file);

}  // namespace wgvitals::config
