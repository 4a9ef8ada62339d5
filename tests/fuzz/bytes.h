// A fuzzer's bytes as choices, one after another; where they end, each is 0.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace wgvitals::fuzz {

class Bytes {
 public:
  Bytes(const std::uint8_t* data, std::size_t size) : data_(data), left_(size) {}

  bool more() const { return left_ > 0; }

  template <class T>
  T number() {
    T value{};
    const auto size = std::min(sizeof value, left_);
    if (size > 0) std::memcpy(&value, take(size), size);
    return value;
  }
  bool flag() { return (number<std::uint8_t>() & 1) != 0; }
  bool rarely() { return number<std::uint8_t>() == 0xff; }
  std::size_t below(std::size_t limit) { return number<std::uint8_t>() % limit; }

  // Up to 255 bytes.
  std::string_view text() {
    const auto size = std::min<std::size_t>(number<std::uint8_t>(), left_);
    return {reinterpret_cast<const char*>(take(size)), size};
  }

 private:
  const std::uint8_t* take(std::size_t size) {
    const auto* taken = data_;
    data_ += size;
    left_ -= size;
    return taken;
  }

  const std::uint8_t* data_;
  std::size_t left_;
};

}  // namespace wgvitals::fuzz
