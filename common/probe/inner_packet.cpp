#include "common/probe/inner_packet.h"

#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>

#include <algorithm>
#include <array>

#include "common/probe/icmp.h"

namespace wgvitals::probe {
namespace {

using Bytes = std::span<const std::uint8_t>;
using Room = std::span<std::uint8_t>;

constexpr std::size_t tcp_header_size = 20;
constexpr std::size_t echo_size = icmp_header_size + 32;
constexpr std::uint8_t hops = 64;
constexpr std::uint8_t fin = 1, syn = 2, rst = 4, ack = 16;

std::uint16_t get16(Bytes bytes, std::size_t at) {
  return static_cast<std::uint16_t>(bytes[at] << 8 | bytes[at + 1]);
}

std::uint32_t get32(Bytes bytes, std::size_t at) {
  return static_cast<std::uint32_t>(get16(bytes, at)) << 16 | get16(bytes, at + 2);
}

void put16(Room bytes, std::size_t at, std::size_t number) {
  bytes[at] = static_cast<std::uint8_t>(number >> 8);
  bytes[at + 1] = static_cast<std::uint8_t>(number);
}

void put32(Room bytes, std::size_t at, std::uint32_t number) {
  put16(bytes, at, number >> 16);
  put16(bytes, at + 2, number);
}

// Where things are in the IP header of a family (RFC 791 section 3.1, RFC 8200 section 3).
struct Layout {
  std::size_t header, address, source, target, protocol;
};
constexpr Layout ipv4_layout{20, 4, 12, 16, 9};
constexpr Layout ipv6_layout{40, 16, 8, 24, 6};

const Layout& layout_of(AddressFamily family) {
  return family == AddressFamily::ipv4 ? ipv4_layout : ipv6_layout;
}

std::uint8_t icmp_of(AddressFamily family) {
  return static_cast<std::uint8_t>(family == AddressFamily::ipv4 ? +IPPROTO_ICMP : +IPPROTO_ICMPV6);
}

// RFC 9293 section 3.1 and RFC 8200 section 8.1; ICMP of IPv4 has no pseudo-header. 0xffff where
// the checksum is in `body` and right.
std::uint16_t sum_of(AddressFamily family, Bytes addresses, std::uint8_t protocol, Bytes body) {
  std::uint32_t sum = to_sum(body);
  if (family == AddressFamily::ipv6 || protocol != IPPROTO_ICMP) {
    sum += to_sum(addresses) + protocol + static_cast<std::uint32_t>(body.size());
  }
  sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>((sum & 0xffff) + (sum >> 16));
}

// Writes the IP header; what it carries stands behind it already, but for its checksum.
std::size_t finish(const InnerPath& path, std::uint8_t protocol, std::size_t body_size,
                   std::size_t checksum_at, Room into) {
  const auto family = path.source.family;
  const auto& at = layout_of(family);
  const auto header = into.first(at.header);
  std::fill(header.begin(), header.end(), std::uint8_t{0});
  std::copy_n(path.source.address.begin(), at.address, &header[at.source]);
  std::copy_n(path.target.address.begin(), at.address, &header[at.target]);
  header[at.protocol] = protocol;
  if (family == AddressFamily::ipv4) {
    header[0] = 0x45;
    put16(header, 2, at.header + body_size);
    put16(header, 6, 0x4000);  // DF: such a packet needs no identification (RFC 6864)
    header[8] = hops;
    put16(header, 10, static_cast<std::uint16_t>(~to_sum(header)));
  } else {
    header[0] = 0x60;
    put16(header, 4, body_size);
    header[7] = hops;
  }
  const auto body = into.subspan(at.header, body_size);
  put16(body, checksum_at, 0);
  const auto addresses = header.subspan(at.source, 2 * at.address);
  put16(body, checksum_at, static_cast<std::uint16_t>(~sum_of(family, addresses, protocol, body)));
  return at.header + body_size;
}

std::size_t build_tcp(const InnerPath& path, std::uint32_t sequence, std::uint8_t flags,
                      Room into) {
  // A SYN names its largest segment: firewalls take one that does not for a scan.
  const std::size_t size = tcp_header_size + (flags == syn ? 4 : 0);
  const auto segment = into.subspan(layout_of(path.source.family).header, size);
  std::fill(segment.begin(), segment.end(), std::uint8_t{0});
  put16(segment, 0, path.source.port);
  put16(segment, 2, path.target.port);
  put32(segment, 4, sequence);
  segment[12] = static_cast<std::uint8_t>(size / 4 << 4);
  segment[13] = flags;
  if (flags == syn) {
    put16(segment, 14, 64'240);
    put32(segment, tcp_header_size, 0x0204'04c4);  // 1220: IPv6's least MTU less its headers
  }
  return finish(path, IPPROTO_TCP, size, 16, into);
}

struct Packet {
  std::uint8_t protocol = 0;
  Endpoint source, target;  // without ports
  Bytes addresses, body;
};

Endpoint address_at(AddressFamily family, Bytes bytes, std::size_t at) {
  Endpoint endpoint;
  endpoint.family = family;
  std::copy_n(&bytes[at], layout_of(family).address, endpoint.address.begin());
  return endpoint;
}

// Whole, or as an ICMP error quotes it: cut off anywhere, its header's checksum maybe stale.
std::optional<Packet> read_ip(AddressFamily family, Bytes bytes, bool quoted) {
  const bool ipv4 = family == AddressFamily::ipv4;
  const auto& at = layout_of(family);
  if (bytes.size() < at.header || bytes[0] >> 4 != (ipv4 ? 4 : 6)) return std::nullopt;
  const std::size_t header = ipv4 ? (bytes[0] & 15) * 4u : at.header;
  const std::size_t total = ipv4 ? get16(bytes, 2) : header + get16(bytes, 4);
  if (header < at.header || header > bytes.size() || total < header) return std::nullopt;
  if (ipv4 && (get16(bytes, 6) & 0x3fff) != 0) return std::nullopt;  // a fragment
  if (!quoted && total > bytes.size()) return std::nullopt;
  if (!quoted && ipv4 && to_sum(bytes.first(header)) != 0xffff) return std::nullopt;
  return Packet{bytes[at.protocol], address_at(family, bytes, at.source),
                address_at(family, bytes, at.target), bytes.subspan(at.source, 2 * at.address),
                bytes.subspan(header, std::min(total, bytes.size()) - header)};
}

bool same_address(const Endpoint& left, const Endpoint& right) {
  return left.family == right.family && left.address == right.address;
}

class Reader {
 public:
  Reader(const InnerPath& path, std::uint16_t identifier, std::uint64_t cookie,
         std::uint32_t tcp_sequence)
      : path_(path),
        family_(path.source.family),
        identifier_(identifier),
        cookie_(cookie),
        tcp_sequence_(tcp_sequence) {}

  std::optional<InnerAnswer> read(Bytes bytes) const {
    if (family_ == AddressFamily::none) return std::nullopt;
    const auto packet = read_ip(family_, bytes, false);
    if (!packet || !same_address(packet->target, path_.source) ||
        sum_of(family_, packet->addresses, packet->protocol, packet->body) != 0xffff) {
      return std::nullopt;
    }
    std::optional<InnerAnswer> answer;
    if (packet->protocol == IPPROTO_TCP) answer = read_tcp(*packet);
    if (packet->protocol == icmp_of(family_)) answer = read_icmp(*packet);
    if (answer) answer->from = packet->source;
    return answer;
  }

 private:
  std::optional<InnerAnswer> read_icmp(const Packet& packet) const {
    const auto icmp = packet.body;
    if (icmp.size() < icmp_header_size) return std::nullopt;
    const bool ipv4 = family_ == AddressFamily::ipv4;
    if (icmp[0] == (ipv4 ? ICMP_ECHOREPLY : ICMP6_ECHO_REPLY)) return read_reply(packet);
    const bool error = ipv4 ? icmp[0] == ICMP_DEST_UNREACH || icmp[0] == ICMP_TIME_EXCEEDED ||
                                  icmp[0] == ICMP_PARAMETERPROB
                            : icmp[0] >= ICMP6_DST_UNREACH && icmp[0] <= ICMP6_PARAM_PROB;
    if (!error) return std::nullopt;
    auto answer = read_quote(icmp.subspan(icmp_header_size));
    if (answer) {
      answer->type = icmp[0];
      answer->code = icmp[1];
    }
    return answer;
  }

  // What was sent, come back whole: only type and checksum differ.
  std::optional<InnerAnswer> read_reply(const Packet& packet) const {
    if (!same_address(packet.source, path_.target) || packet.body[1] != 0) return std::nullopt;
    const auto sequence = get16(packet.body, 6);
    std::array<std::uint8_t, 128> sent;
    const auto size = build_echo(path_, identifier_, sequence, cookie_, sent);
    const auto echo = Bytes(sent).subspan(size - echo_size, echo_size);
    if (!std::equal(packet.body.begin() + 4, packet.body.end(), echo.begin() + 4, echo.end()))
      return std::nullopt;
    InnerAnswer answer;
    answer.sequence = sequence;
    return answer;
  }

  std::optional<InnerAnswer> read_quote(Bytes bytes) const {
    const auto quoted = read_ip(family_, bytes, true);
    if (!quoted || !same_address(quoted->source, path_.source) ||
        !same_address(quoted->target, path_.target)) {
      return std::nullopt;
    }
    InnerAnswer answer;
    answer.kind = InnerAnswer::Kind::icmp_error;
    if (quoted->protocol == IPPROTO_TCP) {
      const auto segment = quoted->body;
      if (segment.size() < 8 || get16(segment, 0) != path_.source.port ||
          get16(segment, 2) != path_.target.port || get32(segment, 4) != tcp_sequence_) {
        return std::nullopt;
      }
      answer.of_tcp = true;
      return answer;
    }
    if (quoted->protocol != icmp_of(family_)) return std::nullopt;
    const auto request = parse_quoted_request(family_, quoted->body);
    if (!request || request->echo.id != identifier_ ||
        (request->marked && request->echo.cookie != cookie_)) {
      return std::nullopt;
    }
    answer.sequence = request->echo.sequence;
    return answer;
  }

  std::optional<InnerAnswer> read_tcp(const Packet& packet) const {
    const auto segment = packet.body;
    if (!same_address(packet.source, path_.target) || segment.size() < tcp_header_size)
      return std::nullopt;
    const std::size_t header = (segment[12] >> 4) * 4u;
    const auto flags = segment[13];
    if (header < tcp_header_size || header > segment.size() ||
        get16(segment, 0) != path_.target.port || get16(segment, 2) != path_.source.port ||
        (flags & ack) == 0 || get32(segment, 8) != tcp_sequence_ + 1) {
      return std::nullopt;
    }
    InnerAnswer answer;
    const auto kind = flags & (fin | syn | rst);
    if (kind != syn && kind != rst) return std::nullopt;
    answer.kind = kind == syn ? InnerAnswer::Kind::syn_ack : InnerAnswer::Kind::tcp_reset;
    return answer;
  }

  const InnerPath& path_;
  AddressFamily family_;
  std::uint16_t identifier_;
  std::uint64_t cookie_;
  std::uint32_t tcp_sequence_;
};

const char* to_text_of_icmpv4(std::uint8_t type, std::uint8_t code) {
  if (type == ICMP_TIME_EXCEEDED)
    return code == ICMP_EXC_TTL ? "time to live exceeded" : "reassembly time exceeded";
  if (type == ICMP_PARAMETERPROB) return "parameter problem";
  if (type != ICMP_DEST_UNREACH) return "unknown ICMP error";
  constexpr std::array texts{"network unreachable",
                             "host unreachable",
                             "protocol unreachable",
                             "port unreachable",
                             "packet too big",
                             "source route failed",
                             "network unknown",
                             "host unknown",
                             "source host isolated",
                             "network administratively prohibited",
                             "host administratively prohibited",
                             "network unreachable for this type of service",
                             "host unreachable for this type of service",
                             "administratively prohibited",
                             "host precedence violation",
                             "precedence cutoff"};
  return code < texts.size() ? texts[code] : "destination unreachable";
}

const char* to_text_of_icmpv6(std::uint8_t type, std::uint8_t code) {
  if (type == ICMP6_PACKET_TOO_BIG) return "packet too big";
  if (type == ICMP6_TIME_EXCEEDED)
    return code == ICMP6_TIME_EXCEED_TRANSIT ? "hop limit exceeded" : "reassembly time exceeded";
  if (type == ICMP6_PARAM_PROB) return "parameter problem";
  if (type != ICMP6_DST_UNREACH) return "unknown ICMP error";
  constexpr std::array texts{"no route to destination",
                             "administratively prohibited",
                             "beyond the scope of the source address",
                             "address unreachable",
                             "port unreachable",
                             "source address failed a policy",
                             "route rejects the destination"};
  return code < texts.size() ? texts[code] : "destination unreachable";
}

}  // namespace

std::size_t build_echo(const InnerPath& path, std::uint16_t identifier, std::uint16_t sequence,
                       std::uint64_t cookie, Room into) {
  const auto family = path.source.family;
  const auto echo = into.subspan(layout_of(family).header, echo_size);
  const auto head = make_echo_head(family, {cookie, 0, sequence, identifier, sequence}, 0);
  std::copy(head.begin(), head.end(), echo.begin());
  fill(echo.subspan(head.size()));
  return finish(path, icmp_of(family), echo.size(), 2, into);
}

std::size_t build_syn(const InnerPath& path, std::uint32_t sequence, Room into) {
  return build_tcp(path, sequence, syn, into);
}

std::size_t build_rst(const InnerPath& path, std::uint32_t sequence, Room into) {
  return build_tcp(path, sequence, rst, into);
}

std::optional<InnerAnswer> parse_inner(Bytes packet, const InnerPath& path,
                                       std::uint16_t identifier, std::uint64_t cookie,
                                       std::uint32_t tcp_sequence) {
  return Reader(path, identifier, cookie, tcp_sequence).read(packet);
}

const char* to_text_of_icmp(AddressFamily family, std::uint8_t type, std::uint8_t code) {
  return family == AddressFamily::ipv4 ? to_text_of_icmpv4(type, code)
                                       : to_text_of_icmpv6(type, code);
}

}  // namespace wgvitals::probe
