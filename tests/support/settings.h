// Settings from lines of TOML, which must have no mistake.
#pragma once

#include <stdexcept>
#include <string>

#include "common/collect/engine.h"
#include "common/config/option.h"

namespace wgvitals::test {

inline config::Settings settings(const std::string& toml) {
  config::Settings settings(collect::schema());
  std::vector<config::Problem> problems;
  // A first line, because a text without any option is a problem.
  const auto section =
      config::parse_toml("[[inputs.wgvitals]]\n" + toml, "test", settings.schema(), problems);
  if (section) settings.read(*section, problems);
  if (!problems.empty()) throw std::invalid_argument(problems.front().text);
  return settings;
}

}  // namespace wgvitals::test
