// A fuzzer's bytes as lines, each in memory of its own, so that reading beyond its end is seen.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace wgvitals::fuzz {

template <class Take>
void for_each_line(const std::uint8_t* data, std::size_t size, Take&& take) {
  std::string_view rest(reinterpret_cast<const char*>(data), size);
  while (!rest.empty()) {
    const auto line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(line.size() < rest.size() ? line.size() + 1 : line.size());
    const std::vector<char> own(line.begin(), line.end());
    if (!take(std::string_view(own.data(), own.size()))) return;
  }
}

}  // namespace wgvitals::fuzz
