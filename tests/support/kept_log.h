// A log that keeps its lines, "warning: ...", for tests to compare.
#pragma once

#include <string>
#include <vector>

#include "common/base/log.h"

namespace wgvitals::test {

class KeptLog final : public Log {
 public:
  void write(Level level, std::string_view line) override {
    constexpr const char* names[] = {"error", "warning", "info", "debug"};
    lines.push_back(std::string(names[static_cast<std::size_t>(level)]) + ": " + std::string(line));
  }

  std::vector<std::string> lines;
};

}  // namespace wgvitals::test
