// A tap: a packet socket (packet(7)) that sees WireGuard's handshake messages, and the first data
// message of each session, on every link of a network namespace, in both directions. A filter in
// the kernel passes over all else.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>

#include "common/base/fd.h"
#include "common/base/result.h"
#include "common/trace/packet.h"

namespace wgvitals::trace {

// In the calling thread's namespace. Does not block. denied without CAP_NET_RAW.
Result<Fd> open_tap();

// Passes UDP of IPv4 and IPv6 (no fragments, no extension headers) whose payload begins as such a
// message. Of packets that begin with their IP header.
Result<Done> attach_filter(int socket);

enum class Direction : std::uint8_t {
  incoming,
  outgoing,
  passing,  // to another host, shown by a link in promiscuous mode
};

struct Sighting {
  Bytes packet;            // from its IP header on; in the caller's buffer
  std::uint32_t link = 0;  // index
  Direction direction = Direction::incoming;
  std::chrono::steady_clock::time_point at;  // by the kernel's stamp
};

inline constexpr std::size_t largest_packet = 65'575;  // with the header of IPv6

// Empty where none waits.
Result<std::optional<Sighting>> receive(int tap, std::span<std::uint8_t> buffer);

// Packets that passed the filter and found no room in the socket, since the last call.
std::uint32_t take_drops(int tap);

}  // namespace wgvitals::trace
