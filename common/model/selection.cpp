#include "common/model/selection.h"

#include <algorithm>

namespace wgvitals {
namespace {

std::vector<Pattern> to_patterns(const std::vector<std::string>& texts) {
  std::vector<Pattern> patterns;
  for (const auto& text : texts) {
    if (auto pattern = Pattern::parse(text)) patterns.push_back(std::move(*pattern));
  }
  return patterns;
}

}  // namespace

Result<Pattern> Pattern::parse(std::string_view text) {
  Pattern pattern;
  if (text.size() > 2 && text.front() == '/' && text.back() == '/') {
    const std::string inside(text.substr(1, text.size() - 2));
    const std::shared_ptr<regex_t> regex(new regex_t{}, [](regex_t* owned) {
      ::regfree(owned);
      delete owned;
    });
    const int failure = ::regcomp(regex.get(), inside.c_str(), REG_EXTENDED | REG_NOSUB);
    if (failure != 0) {
      char why[128];
      ::regerror(failure, regex.get(), why, sizeof why);
      return Error{Errc::malformed, 0, std::string(text) + ": " + why};
    }
    pattern.regex_ = regex;
  } else {
    pattern.exact_ = text;
  }
  return pattern;
}

bool Pattern::matches(const std::string& name) const {
  if (!regex_) return name == exact_;
  return ::regexec(regex_.get(), name.c_str(), 0, nullptr, 0) == 0;
}

Selection::Selection(const std::vector<std::string>& include,
                     const std::vector<std::string>& exclude)
    : include_(to_patterns(include)), exclude_(to_patterns(exclude)) {}

bool Selection::wants(std::string_view name, std::string_view other) const {
  if (empty()) return true;
  const std::string first(name);
  const std::string second(other);
  const auto listed = [&](const std::vector<Pattern>& patterns) {
    return std::any_of(patterns.begin(), patterns.end(), [&](const Pattern& pattern) {
      return pattern.matches(first) || (!second.empty() && pattern.matches(second));
    });
  };
  return (include_.empty() || listed(include_)) && !listed(exclude_);
}

}  // namespace wgvitals
