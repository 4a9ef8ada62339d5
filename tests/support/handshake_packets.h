// Packets as a tap sees them: WireGuard's handshake messages in UDP in IP, without checksums.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>
#include <vector>

#include "common/trace/packet.h"

namespace wgvitals::test {

using Packet = std::vector<std::uint8_t>;

inline void put_big(Packet& packet, std::uint64_t number, int bytes) {
  while (bytes-- > 0) packet.push_back(static_cast<std::uint8_t>(number >> (8 * bytes)));
}

inline void set_little(Packet& packet, std::size_t at, std::uint32_t number) {
  for (std::size_t i = 0; i < 4; ++i) {
    packet[at + i] = static_cast<std::uint8_t>(number >> (8 * i));
  }
}

// Messages of the same indexes and another `mark` have another mac1.
inline Packet initiation(std::uint32_t sender, std::uint8_t mark = 0) {
  Packet message(148, mark);
  set_little(message, 0, 1);
  set_little(message, 4, sender);
  return message;
}
inline Packet response(std::uint32_t sender, std::uint32_t receiver, std::uint8_t mark = 0) {
  Packet message(92, mark);
  set_little(message, 0, 2);
  set_little(message, 4, sender);
  set_little(message, 8, receiver);
  return message;
}
inline Packet cookie_reply(std::uint32_t receiver) {
  Packet message(64);
  set_little(message, 0, 3);
  set_little(message, 4, receiver);
  return message;
}

inline Packet data(std::uint32_t receiver, std::uint8_t counter = 0, std::size_t size = 32) {
  Packet message(size);
  set_little(message, 0, 4);
  set_little(message, 4, receiver);
  message[8] = counter;
  return message;
}

inline Packet joined(std::initializer_list<Packet> packets) {
  Packet all;
  for (const auto& packet : packets) all.insert(all.end(), packet.begin(), packet.end());
  return all;
}

// Both of one family.
inline Packet udp_packet(const Endpoint& from, const Endpoint& to, const Packet& payload) {
  const bool ipv4 = from.family == AddressFamily::ipv4;
  const auto size = payload.size() + 8;
  Packet packet;
  if (ipv4) {
    put_big(packet, 0x45000000 + 20 + size, 4);  // version, header length, TOS, total length
    put_big(packet, 0x00004000, 4);              // identification, don't fragment
    put_big(packet, 0x40110000, 4);              // TTL, UDP, checksum
  } else {
    put_big(packet, 0x60000000, 4);
    put_big(packet, size, 2);
    put_big(packet, 0x1140, 2);  // UDP, hop limit
  }
  for (const auto* end : {&from, &to}) {
    const std::span address(end->address);
    for (const auto byte : address.first(ipv4 ? 4 : 16)) packet.push_back(byte);
  }
  put_big(packet, from.port, 2);
  put_big(packet, to.port, 2);
  put_big(packet, size, 2);
  put_big(packet, 0, 2);
  return joined({packet, payload});
}

inline Endpoint end_v4(std::uint8_t last, std::uint16_t port) {
  Endpoint endpoint;
  endpoint.family = AddressFamily::ipv4;
  endpoint.address = {192, 0, 2, last};
  endpoint.port = port;
  return endpoint;
}
inline Endpoint end_v6(std::uint8_t last, std::uint16_t port) {
  Endpoint endpoint;
  endpoint.family = AddressFamily::ipv6;
  endpoint.address = {0x20, 0x01, 0x0d, 0xb8};
  endpoint.address[15] = last;
  endpoint.port = port;
  return endpoint;
}

}  // namespace wgvitals::test
