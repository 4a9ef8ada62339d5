// Public keys by number, all different.
#pragma once

#include <cstdint>
#include <string>

#include "common/model/key.h"

namespace wgvitals::test {

inline PublicKey key(std::uint32_t number) {
  PublicKey key;
  for (std::size_t i = 0; i < key.bytes.size(); ++i) {
    key.bytes[i] = static_cast<std::uint8_t>(number >> (8 * (i % 4)) ^ (i * 37));
  }
  return key;
}

inline std::string key_text(std::uint32_t number) {
  const auto text = to_base64(key(number));
  return std::string(view(text));
}

}  // namespace wgvitals::test
