#include "common/config/section.h"

#include <fmt/format.h>

namespace wgvitals::config {

std::string to_title(const Value& value) {
  return std::visit([](const auto& held) { return fmt::format("{}", held); }, value);
}

std::string to_text(const std::string& file, const Problem& problem) {
  if (problem.line == 0) return file + ": " + problem.text;
  return fmt::format("{}:{}: {}", file, problem.line, problem.text);
}

void add_problems(const Block& block, std::vector<Problem> found, std::vector<Problem>& problems) {
  for (auto& problem : found) {
    problems.push_back({problem.line, block.name + ": " + std::move(problem.text)});
  }
}

}  // namespace wgvitals::config
