#include "common/probe/icmp.h"

#include <netinet/icmp6.h>
#include <netinet/ip_icmp.h>

#include <algorithm>
#include <cerrno>

namespace wgvitals::probe {
namespace {

using Bytes = std::span<const std::uint8_t>;

constexpr std::size_t ipv4_header_size = 20;
constexpr std::size_t ipv6_header_size = 40;

template <class Number>
Number get(Bytes bytes, std::size_t at) {
  Number number = 0;
  for (std::size_t i = 0; i < sizeof number; ++i)
    number = static_cast<Number>(number << 8 | bytes[at + i]);
  return number;
}

template <class Number>
void put(std::span<std::uint8_t> bytes, std::size_t at, Number number) {
  for (std::size_t i = sizeof number; i > 0; --i) {
    bytes[at + i - 1] = static_cast<std::uint8_t>(number);
    number = static_cast<Number>(number >> 8);
  }
}

Endpoint get_address(AddressFamily family, Bytes bytes, std::size_t at) {
  Endpoint endpoint;
  endpoint.family = family;
  const auto size = family == AddressFamily::ipv4 ? 4u : 16u;
  std::copy_n(bytes.begin() + static_cast<std::ptrdiff_t>(at), size, endpoint.address.begin());
  return endpoint;
}

// At least its ICMP header is there.
void read_echo(Bytes bytes, IcmpMessage& message) {
  message.echo.id = get<std::uint16_t>(bytes, 4);
  message.echo.sequence = get<std::uint16_t>(bytes, 6);
  message.marked = bytes.size() >= echo_head_size;
  if (!message.marked) return;
  message.echo.cookie = get<std::uint64_t>(bytes, 8);
  message.echo.target = get<std::uint32_t>(bytes, 16);
  message.echo.number = get<std::uint32_t>(bytes, 20);
}

bool read_request(AddressFamily family, Bytes bytes, IcmpMessage& message) {
  const auto request = family == AddressFamily::ipv4 ? ICMP_ECHO : ICMP6_ECHO_REQUEST;
  if (bytes.size() < icmp_header_size || bytes[0] != request) return false;
  read_echo(bytes, message);
  return true;
}

bool has_ipv4_header(Bytes bytes) {
  return bytes.size() >= ipv4_header_size && bytes[0] >> 4 == 4 && (bytes[0] & 15) >= 5 &&
         bytes.size() >= (bytes[0] & 15) * 4u && bytes[9] == IPPROTO_ICMP &&
         (get<std::uint16_t>(bytes, 6) & 0x1fff) == 0;  // no later fragment
}

bool read_quoted_ipv4(Bytes bytes, IcmpMessage& message) {
  if (!has_ipv4_header(bytes)) return false;
  message.destination = get_address(AddressFamily::ipv4, bytes, 16);
  return read_request(AddressFamily::ipv4, bytes.subspan((bytes[0] & 15) * 4u), message);
}

// RFC 8200: each extension header names the next one.
bool read_quoted_ipv6(Bytes bytes, IcmpMessage& message) {
  if (bytes.size() < ipv6_header_size || bytes[0] >> 4 != 6) return false;
  message.destination = get_address(AddressFamily::ipv6, bytes, 24);
  auto next = bytes[6];
  auto rest = bytes.subspan(ipv6_header_size);
  while (next != IPPROTO_ICMPV6) {
    if (rest.size() < 8) return false;
    std::size_t size = 8;
    switch (next) {
      case IPPROTO_HOPOPTS:
      case IPPROTO_ROUTING:
      case IPPROTO_DSTOPTS:
        size = (rest[1] + 1u) * 8;
        break;
      case IPPROTO_AH:
        size = (rest[1] + 2u) * 4;
        break;
      case IPPROTO_FRAGMENT:
        if ((get<std::uint16_t>(rest, 2) & 0xfff8) != 0) return false;
        break;
      default:
        return false;
    }
    if (rest.size() < size) return false;
    next = rest[0];
    rest = rest.subspan(size);
  }
  return read_request(AddressFamily::ipv6, rest, message);
}

bool is_error(AddressFamily family, std::uint8_t type) {
  if (family == AddressFamily::ipv6) return type >= ICMP6_DST_UNREACH && type <= ICMP6_PARAM_PROB;
  return type == ICMP_DEST_UNREACH || type == ICMP_TIME_EXCEEDED || type == ICMP_PARAMETERPROB;
}

}  // namespace

void fill(std::span<std::uint8_t> filler) {
  std::uint8_t next = 0x10;  // as ping(8) does
  for (auto& byte : filler) byte = next++;
}

std::uint16_t to_sum(Bytes bytes) {
  std::uint32_t sum = 0;
  std::size_t at = 0;
  for (; at + 1 < bytes.size(); at += 2)
    sum += static_cast<std::uint32_t>(bytes[at] << 8 | bytes[at + 1]);
  if (at < bytes.size()) sum += static_cast<std::uint32_t>(bytes[at] << 8);
  sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(sum + (sum >> 16));
}

std::array<std::uint8_t, echo_head_size> make_echo_head(AddressFamily family, const Echo& echo,
                                                        std::uint16_t filler_sum) {
  std::array<std::uint8_t, echo_head_size> head{};
  const bool ipv4 = family == AddressFamily::ipv4;
  head[0] = ipv4 ? ICMP_ECHO : ICMP6_ECHO_REQUEST;
  put(head, 4, echo.id);
  put(head, 6, echo.sequence);
  put(head, 8, echo.cookie);
  put(head, 16, echo.target);
  put(head, 20, echo.number);
  if (!ipv4) return head;
  std::uint32_t sum = std::uint32_t{to_sum(head)} + filler_sum;
  sum = (sum & 0xffff) + (sum >> 16);
  put(head, 2, static_cast<std::uint16_t>(~sum));
  return head;
}

std::optional<IcmpMessage> parse_icmp(AddressFamily family, Bytes bytes) {
  if (bytes.size() < icmp_header_size || family == AddressFamily::none) return std::nullopt;
  const bool ipv4 = family == AddressFamily::ipv4;
  IcmpMessage message;
  message.type = bytes[0];
  message.code = bytes[1];
  if (message.type == (ipv4 ? ICMP_ECHOREPLY : ICMP6_ECHO_REPLY)) {
    read_echo(bytes, message);
    return message;
  }
  if (!is_error(family, message.type)) return std::nullopt;
  message.kind = IcmpMessage::Kind::error;
  if (ipv4 && message.type == ICMP_DEST_UNREACH && message.code == ICMP_FRAG_NEEDED)
    message.mtu = get<std::uint16_t>(bytes, 6);
  if (!ipv4 && message.type == ICMP6_PACKET_TOO_BIG) message.mtu = get<std::uint32_t>(bytes, 4);
  const auto quoted = bytes.subspan(icmp_header_size);
  if (!(ipv4 ? read_quoted_ipv4(quoted, message) : read_quoted_ipv6(quoted, message)))
    return std::nullopt;
  return message;
}

std::optional<IcmpMessage> parse_ipv4_packet(Bytes bytes) {
  if (!has_ipv4_header(bytes)) return std::nullopt;
  const std::size_t header = (bytes[0] & 15) * 4u;
  const std::size_t total = get<std::uint16_t>(bytes, 2);
  if (total < header) return std::nullopt;
  const auto body = bytes.subspan(header, std::min(bytes.size(), total) - header);
  // Raw sockets get packets before the kernel has looked at their checksum.
  if (total <= bytes.size() && to_sum(body) != 0xffff) return std::nullopt;
  auto message = parse_icmp(AddressFamily::ipv4, body);
  if (!message) return std::nullopt;
  message->ttl = bytes[8];
  message->from = get_address(AddressFamily::ipv4, bytes, 12);
  return message;
}

std::optional<IcmpMessage> parse_quoted_request(AddressFamily family, Bytes bytes) {
  IcmpMessage message;
  message.kind = IcmpMessage::Kind::error;
  if (!read_request(family, bytes, message)) return std::nullopt;
  return message;
}

int to_errno(AddressFamily family, std::uint8_t type, std::uint8_t code) {
  if (family == AddressFamily::ipv6) {
    switch (type) {
      case ICMP6_PACKET_TOO_BIG:
        return EMSGSIZE;
      case ICMP6_PARAM_PROB:
        return EPROTO;
      case ICMP6_DST_UNREACH:
        if (code == ICMP6_DST_UNREACH_NOROUTE) return ENETUNREACH;
        if (code == ICMP6_DST_UNREACH_NOPORT) return ECONNREFUSED;
        // Prohibited; by the source address's policy (5); by a route that rejects (6).
        return code == ICMP6_DST_UNREACH_ADMIN || code >= 5 ? EACCES : EHOSTUNREACH;
      default:
        return EHOSTUNREACH;
    }
  }
  if (type == ICMP_PARAMETERPROB) return EPROTO;
  if (type != ICMP_DEST_UNREACH) return EHOSTUNREACH;
  switch (code) {
    case ICMP_NET_UNREACH:
    case ICMP_NET_UNKNOWN:
    case ICMP_NET_UNR_TOS:
      return ENETUNREACH;
    case ICMP_PROT_UNREACH:
      return ENOPROTOOPT;
    case ICMP_PORT_UNREACH:
      return ECONNREFUSED;
    case ICMP_FRAG_NEEDED:
      return EMSGSIZE;
    case ICMP_SR_FAILED:
      return EOPNOTSUPP;
    case ICMP_NET_ANO:
    case ICMP_HOST_ANO:
    case ICMP_PKT_FILTERED:
      return EACCES;
    default:
      return EHOSTUNREACH;
  }
}

}  // namespace wgvitals::probe
