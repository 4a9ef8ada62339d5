// Which of several named things are wanted: listed by exact name or as /extended regex/, which may
// match anywhere, as in collectd's lists.
#pragma once

#include <regex.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/result.h"

namespace wgvitals {

class Pattern {
 public:
  // malformed where a /regex/ does not compile.
  static Result<Pattern> parse(std::string_view text);
  bool matches(const std::string& name) const;

 private:
  std::string exact_;
  std::shared_ptr<const regex_t> regex_;  // empty: exact
};

// Wanted is what the include list names (all, where it is empty) and the exclude list does not.
class Selection {
 public:
  Selection() = default;
  // Patterns that do not compile are passed over.
  Selection(const std::vector<std::string>& include, const std::vector<std::string>& exclude);

  bool empty() const { return include_.empty() && exclude_.empty(); }
  // A thing may have a second name ("" for none): either counts.
  bool wants(std::string_view name, std::string_view other = {}) const;

 private:
  std::vector<Pattern> include_, exclude_;
};

}  // namespace wgvitals
