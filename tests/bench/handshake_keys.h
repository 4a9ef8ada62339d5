// The keys of the handshake bench: of the one probing client, and of each server.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace wgvitals::bench {

inline std::array<std::uint8_t, 32> client_key() {
  std::array<std::uint8_t, 32> key;
  key.fill(0x11);
  return key;
}

inline std::array<std::uint8_t, 32> server_key(std::size_t number) {
  std::array<std::uint8_t, 32> key;
  key.fill(0x22);
  key[0] = static_cast<std::uint8_t>(number);
  key[1] = static_cast<std::uint8_t>(number >> 8);
  return key;
}

}  // namespace wgvitals::bench
