// IP packets as a tap sees them, and the WireGuard handshake messages in them. What they claim
// proves nothing. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "common/model/address.h"

namespace wgvitals::trace {

using Bytes = std::span<const std::uint8_t>;

struct UdpPacket {
  Endpoint from, to;
  Bytes payload;
};

// Of a whole packet, from its IP header on, what stands behind its end left out:
//   45 00 00 b0 ....   IPv4, or 6. ... IPv6 without extension headers
//   ca 6c ca 6d 00 9c  UDP: ports, length
//   01 00 00 00 ....   payload
// Empty: anything else, fragments included.
std::optional<UdpPacket> parse_udp(Bytes packet);

// drivers/net/wireguard/messages.h
enum class MessageType : std::uint8_t { initiation = 1, response = 2, cookie_reply = 3 };

struct Message {
  MessageType type;
  std::uint32_t sender = 0;    // the index that its sender chose; of cookie replies: 0
  std::uint32_t receiver = 0;  // the index that it answers; of initiations: 0
  Bytes signed_part;           // what mac1 is of; of cookie replies both are empty
  Bytes mac1;
};

// Cuts a message off the front; empty where there is none of these three. Where the system joins
// packets that came together (GRO), several stand one behind the other.
std::optional<Message> next_message(Bytes& rest);

// All of it is such messages, one at least.
bool holds_messages(Bytes payload);

// The first data message of a session, which an initiator sends at once: the index that it is for.
std::optional<std::uint32_t> first_data(Bytes payload);

}  // namespace wgvitals::trace
