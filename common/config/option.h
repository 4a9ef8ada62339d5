// The one schema: what an option is called, what it takes, and what holds without it. It reads both
// hosts' configurations and prints the option reference.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "common/config/section.h"
#include "common/model/metric.h"

namespace wgvitals::config {

enum class Takes : std::uint8_t {
  truth,     // true, false
  whole,     // a number from `least` to `most`
  duration,  // "1s", "500ms", or seconds; from `least` to `most` milliseconds
  text,      // any text
  choice,    // one of `choices`, parted by '|'; "top:N" stands for any number
  texts,     // several texts
  patterns,  // several exact names or /regular expressions/
  pairs,     // rows of two texts: names."KEY" = "x"; Names "KEY" "x"
  triples,   // rows of three texts: labels."KEY".site = "x"; Labels "KEY" "site" "x"
};

struct Option {
  Name name;  // gather_wait; GatherWait in collectd
  Takes takes;
  std::string_view fallback;  // as written in TOML; several texts parted by '|'
  std::string_view help;
  std::int64_t least = 0;
  std::int64_t most = 0;
  std::string_view choices = {};
  std::string_view aliases = {};  // parted by blanks
};

// A kind of block with its own options. In collectd its name is as an option's: <Ping>. Where an
// option has the same name, a TOML file can say only one of the two: a key has one value.
struct BlockKind {
  Name name;
  std::string_view help;
  std::span<const Option* const> options;
};

struct Schema {
  std::vector<const Option*> options;
  std::vector<const BlockKind*> blocks = {};
};

// Whichever host's spelling `name` has; null: there is none.
const BlockKind* find_block(const Schema& schema, std::string_view name);

std::string collectd_name(std::string_view name);    // "GatherWait"
std::string expectation(const Option& option);       // `a time from 100ms to 60s such as "1s"`
std::string to_toml_fallback(const Option& option);  // `"1s"`, `["a", "b"]`

// A duration that stands alone, as an argument does; empty where it is none, or out of the range.
std::optional<std::chrono::milliseconds> to_duration(const Option& option, const std::string& text);

using Texts = std::vector<std::string>;
using Setting = std::variant<bool, std::int64_t, std::chrono::milliseconds, std::string, Texts,
                             std::vector<Texts>>;

// What holds for each option of a schema.
class Settings {
 public:
  // The fallbacks, and no blocks.
  explicit Settings(Schema schema);

  // What `section` says; what is unknown or wrong is added to `problems`, and the fallback stays.
  void read(const Section& section, std::vector<Problem>& problems);

  bool truth(const Option& option) const { return get<bool>(option); }
  std::int64_t whole(const Option& option) const { return get<std::int64_t>(option); }
  std::chrono::milliseconds duration(const Option& option) const {
    return get<std::chrono::milliseconds>(option);
  }
  const std::string& text(const Option& option) const { return get<std::string>(option); }
  const Texts& texts(const Option& option) const { return get<Texts>(option); }
  const std::vector<Texts>& rows(const Option& option) const {
    return get<std::vector<Texts>>(option);
  }

  // Each block of this kind that was read, in its order; what it does not say has its fallback.
  std::vector<const Settings*> blocks(const BlockKind& kind) const;
  const std::string& title() const { return title_; }  // of a block: what stands behind its name
  int line() const { return line_; }                   // of a block; 0: not known

  const Schema& schema() const { return schema_; }
  void set(const Option& option, Setting setting) {
    settings_[index_of(option)] = std::move(setting);
  }

 private:
  template <class T>
  const T& get(const Option& option) const {
    return std::get<T>(settings_[index_of(option)]);
  }
  void read(const Item& item, std::vector<const Option*>& begun, std::vector<Problem>& problems);
  void read(const Block& block, std::vector<Problem>& problems);
  std::size_t index_of(const Option& option) const;
  const Option* find(std::string_view name) const;

  Schema schema_;
  std::vector<Setting> settings_;
  std::vector<std::pair<const BlockKind*, Settings>> blocks_;
  std::string title_;
  int line_ = 0;
};

}  // namespace wgvitals::config
