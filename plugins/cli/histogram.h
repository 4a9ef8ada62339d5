// A small histogram for the terminal.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <span>
#include <string>
#include <vector>

namespace wgvitals::cli {

// The next of 1, 2, 5, 10, ... that is no smaller.
inline double to_round_step(double width) {
  const double decade = std::pow(10, std::floor(std::log10(width)));
  for (const double step : {1.0, 2.0, 5.0}) {
    if (width <= step * decade * (1 + 1e-9)) return step * decade;
  }
  return 10 * decade;
}

// A line for each of at most eleven ranges of equal, round width, from the smallest value to the
// largest: "  12.0 -  12.5 ms |######       |  6". Empty where there are no values.
inline std::string to_histogram(std::span<const double> values, std::string_view unit) {
  if (values.empty()) return {};
  constexpr double ranges = 10;
  constexpr std::size_t longest_bar = 40;
  constexpr double finest = 0.001;
  const auto [smallest, largest] = std::minmax_element(values.begin(), values.end());
  const double step = to_round_step(std::max((*largest - *smallest) / ranges, finest));
  const double first = std::floor(*smallest / step);
  std::vector<std::size_t> counts(static_cast<std::size_t>(std::floor(*largest / step) - first) +
                                  1);
  for (const double value : values) {
    ++counts[static_cast<std::size_t>(std::floor(value / step) - first)];
  }
  const auto most = *std::max_element(counts.begin(), counts.end());
  const int digits = std::max(0, static_cast<int>(std::ceil(-std::log10(step) - 1e-9)));
  const auto width = fmt::format("{:.{}f}", *largest + step, digits).size();
  std::string text;
  for (std::size_t i = 0; i < counts.size(); ++i) {
    const double from = (first + static_cast<double>(i)) * step;
    // What is there at all is seen.
    const auto bar = (counts[i] * longest_bar + most - 1) / most;
    text += fmt::format("  {0:{4}.{5}f} - {1:{4}.{5}f} {2} |{3:<{6}}| {7}\n", from, from + step,
                        unit, std::string(bar, '#'), width, digits, longest_bar, counts[i]);
  }
  return text;
}

}  // namespace wgvitals::cli
