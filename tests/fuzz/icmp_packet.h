// ICMP packets built from a fuzzer's bytes, part by part, with what a reader has to find in them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "common/probe/icmp.h"
#include "tests/fuzz/bytes.h"
#include "tests/fuzz/check.h"

namespace wgvitals::fuzz {

using Packet = std::vector<std::uint8_t>;

inline void put(Packet& packet, std::uint64_t number, int size) {
  for (int at = size - 1; at >= 0; --at)
    packet.push_back(static_cast<std::uint8_t>(number >> 8 * at));
}

inline void put_bytes(Packet& packet, std::string_view bytes) {
  packet.insert(packet.end(), bytes.begin(), bytes.end());
}

inline Endpoint take_address(Bytes& in, AddressFamily family) {
  Endpoint address;
  address.family = family;
  for (int i = 0; i < (family == AddressFamily::ipv4 ? 4 : 16); ++i)
    address.address[static_cast<std::size_t>(i)] = in.number<std::uint8_t>();
  return address;
}

inline void put_address(Packet& packet, const Endpoint& address) {
  const std::size_t size = address.family == AddressFamily::ipv4 ? 4 : 16;
  packet.insert(packet.end(), address.address.begin(),
                address.address.begin() + static_cast<std::ptrdiff_t>(size));
}

// Its ICMP header, cookie, target and number, and filler.
inline Packet echo_packet(Bytes& in, std::uint8_t type, probe::Echo& echo) {
  echo.id = in.number<std::uint16_t>();
  echo.sequence = in.number<std::uint16_t>();
  echo.cookie = in.number<std::uint64_t>();
  echo.target = in.number<std::uint32_t>();
  echo.number = in.number<std::uint32_t>();
  Packet packet{type, 0, 0, 0};
  put(packet, echo.id, 2);
  put(packet, echo.sequence, 2);
  put(packet, echo.cookie, 8);
  put(packet, echo.target, 4);
  put(packet, echo.number, 4);
  put_bytes(packet, in.text());
  return packet;
}

inline void write_checksum(Packet& icmp) {
  icmp[2] = icmp[3] = 0;
  const auto sum = static_cast<std::uint16_t>(~probe::to_sum(icmp));
  icmp[2] = static_cast<std::uint8_t>(sum >> 8);
  icmp[3] = static_cast<std::uint8_t>(sum);
}

// An IPv4 header with options, and `body` behind it.
inline Packet in_ipv4(Bytes& in, std::uint8_t ttl, const Endpoint& from, const Endpoint& to,
                      const Packet& body) {
  auto options = Packet(in.below(11) * 4);
  for (auto& byte : options) byte = in.number<std::uint8_t>();
  const auto header = 20 + options.size();
  Packet packet{static_cast<std::uint8_t>(0x40 | header / 4), in.number<std::uint8_t>()};
  put(packet, header + body.size(), 2);
  put(packet, in.number<std::uint16_t>(), 2);
  put(packet, in.flag() ? 0x4000 : 0, 2);  // whole, or the first fragment
  packet.push_back(ttl);
  packet.push_back(1);
  put(packet, in.number<std::uint16_t>(), 2);
  put_address(packet, from);
  put_address(packet, to);
  packet.insert(packet.end(), options.begin(), options.end());
  packet.insert(packet.end(), body.begin(), body.end());
  return packet;
}

// A copy that ends where it ends, so that reading beyond it is seen.
inline Packet cut(Packet packet, std::size_t size) {
  packet.resize(std::min(packet.size(), size));
  packet.shrink_to_fit();
  return packet;
}

inline void check_echo(const probe::IcmpMessage& read, const probe::Echo& echo, bool marked) {
  check(read.marked == marked, "what was cut off is not read");
  auto expected = echo;
  if (!marked) expected.cookie = expected.target = expected.number = 0;
  check(read.echo == expected, "the echo is what was built");
}

}  // namespace wgvitals::fuzz
