#include "common/trace/packet.h"

#include <algorithm>
#include <array>

namespace wgvitals::trace {
namespace {

constexpr std::uint8_t udp_protocol = 17;
constexpr std::size_t udp_header = 8;

std::uint16_t big16(Bytes bytes, std::size_t at) {
  return static_cast<std::uint16_t>(bytes[at] << 8u | bytes[at + 1]);
}

std::uint32_t little32(Bytes bytes, std::size_t at) {
  return bytes[at] | std::uint32_t{bytes[at + 1]} << 8u | std::uint32_t{bytes[at + 2]} << 16u |
         std::uint32_t{bytes[at + 3]} << 24u;
}

Endpoint to_endpoint(AddressFamily family, Bytes address, std::uint16_t port) {
  Endpoint endpoint;
  endpoint.family = family;
  endpoint.port = port;
  std::copy(address.begin(), address.end(), endpoint.address.begin());
  return endpoint;
}

// Where the addresses stand, and what stands behind the header.
struct IpPacket {
  AddressFamily family;
  Bytes from, to, payload;
};

std::optional<IpPacket> parse_ipv4(Bytes packet) {
  constexpr std::size_t least = 20;
  if (packet.size() < least) return std::nullopt;
  const std::size_t header = (packet[0] & 0x0fu) * 4;
  const std::size_t total = big16(packet, 2);
  const bool fragment = (big16(packet, 6) & 0x3fffu) != 0;  // more of them follow, or its offset
  if (header < least || total < header || total > packet.size()) return std::nullopt;
  if (fragment || packet[9] != udp_protocol) return std::nullopt;
  return IpPacket{AddressFamily::ipv4, packet.subspan(12, 4), packet.subspan(16, 4),
                  packet.subspan(header, total - header)};
}

std::optional<IpPacket> parse_ipv6(Bytes packet) {
  constexpr std::size_t header = 40;
  if (packet.size() < header || packet[6] != udp_protocol) return std::nullopt;
  const std::size_t size = big16(packet, 4);
  if (size > packet.size() - header) return std::nullopt;
  return IpPacket{AddressFamily::ipv6, packet.subspan(8, 16), packet.subspan(24, 16),
                  packet.subspan(header, size)};
}

std::optional<IpPacket> parse_ip(Bytes packet) {
  if (packet.empty()) return std::nullopt;
  switch (packet[0] >> 4u) {
    case 4:
      return parse_ipv4(packet);
    case 6:
      return parse_ipv6(packet);
    default:
      return std::nullopt;
  }
}

struct Shape {
  std::size_t size, mac1_at;  // 0: none
};
constexpr std::array<Shape, 4> shapes{{{0, 0}, {148, 116}, {92, 60}, {64, 0}}};
constexpr std::size_t mac_size = 16;

}  // namespace

std::optional<UdpPacket> parse_udp(Bytes packet) {
  const auto ip = parse_ip(packet);
  if (!ip || ip->payload.size() < udp_header) return std::nullopt;
  const std::size_t size = big16(ip->payload, 4);
  if (size < udp_header || size > ip->payload.size()) return std::nullopt;
  return UdpPacket{to_endpoint(ip->family, ip->from, big16(ip->payload, 0)),
                   to_endpoint(ip->family, ip->to, big16(ip->payload, 2)),
                   ip->payload.subspan(udp_header, size - udp_header)};
}

std::optional<Message> next_message(Bytes& rest) {
  if (rest.size() < 4) return std::nullopt;
  const auto type = little32(rest, 0);  // three reserved bytes of 0 included
  if (type < 1 || type >= shapes.size() || rest.size() < shapes[type].size) return std::nullopt;
  const auto [size, mac1_at] = shapes[type];
  const auto bytes = rest.first(size);
  rest = rest.subspan(size);
  Message message{static_cast<MessageType>(type), 0, 0, {}, {}};
  if (message.type == MessageType::cookie_reply) {
    message.receiver = little32(bytes, 4);
    return message;
  }
  message.sender = little32(bytes, 4);
  if (message.type == MessageType::response) message.receiver = little32(bytes, 8);
  message.signed_part = bytes.first(mac1_at);
  message.mac1 = bytes.subspan(mac1_at, mac_size);
  return message;
}

bool holds_messages(Bytes payload) {
  const bool any = !payload.empty();
  while (!payload.empty()) {
    if (!next_message(payload)) return false;
  }
  return any;
}

std::optional<std::uint32_t> first_data(Bytes payload) {
  constexpr std::size_t least = 32, counter_at = 8, counter_size = 8;
  if (payload.size() < least || little32(payload, 0) != 4) return std::nullopt;
  const auto counter = payload.subspan(counter_at, counter_size);
  if (std::ranges::any_of(counter, [](std::uint8_t byte) { return byte != 0; })) {
    return std::nullopt;
  }
  return little32(payload, 4);
}

}  // namespace wgvitals::trace
