// Bytes written as hexadecimal digits.
#pragma once

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace wgvitals::test {

inline std::vector<std::uint8_t> from_hex(std::string_view digits) {
  std::vector<std::uint8_t> bytes;
  bytes.reserve(digits.size() / 2);
  for (; digits.size() >= 2; digits.remove_prefix(2)) {
    bytes.push_back(0);
    const auto* end = digits.data() + 2;
    if (std::from_chars(digits.data(), end, bytes.back(), 16).ptr != end) {
      throw std::invalid_argument("no hexadecimal digits");
    }
  }
  return bytes;
}

template <std::size_t size>
std::array<std::uint8_t, size> from_hex(std::string_view digits) {
  const auto bytes = from_hex(digits);
  if (bytes.size() != size) throw std::invalid_argument("hexadecimal digits of another length");
  std::array<std::uint8_t, size> array;
  std::copy(bytes.begin(), bytes.end(), array.begin());
  return array;
}

}  // namespace wgvitals::test
