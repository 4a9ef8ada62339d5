// ICMP errors with the request that they quote: any bytes, and errors built from them, which must
// give what was put in, whole or cut anywhere.

#include <array>

#include "tests/fuzz/icmp_packet.h"

namespace wgvitals::fuzz {
namespace {

struct Built {
  Packet packet;
  std::size_t echo_at = 0;  // where the quoted request's ICMP header is
};

Built quoting(std::uint8_t type, std::uint8_t code, std::uint32_t rest, const Packet& quoted,
              std::size_t echo_size) {
  Built built{{type, code, 0, 0}, 0};
  put(built.packet, rest, 4);
  built.packet.insert(built.packet.end(), quoted.begin(), quoted.end());
  built.echo_at = built.packet.size() - echo_size;
  return built;
}

void check_error(const std::optional<probe::IcmpMessage>& read, const Built& built,
                 std::size_t size, const probe::Echo& echo, const Endpoint& to, std::uint32_t mtu) {
  check(read.has_value() == (size >= built.echo_at + probe::icmp_header_size), "an error is read");
  if (!read) return;
  check(read->kind == probe::IcmpMessage::Kind::error, "as an error");
  check(read->type == built.packet[0] && read->code == built.packet[1], "its type and code");
  check(read->mtu == mtu, "its MTU");
  check(read->destination == to, "where the request went");
  check_echo(*read, echo, size >= built.echo_at + probe::echo_head_size);
  const auto family = to.family;
  check(probe::to_errno(family, read->type, read->code) != 0, "every error has a number");
}

void read_ipv4(Bytes& in) {
  constexpr std::array<std::uint8_t, 3> types{3, 11, 12};
  const auto type = types[in.below(types.size())];
  const auto code = in.number<std::uint8_t>();
  const auto rest = in.number<std::uint32_t>();
  probe::Echo echo;
  const auto from = take_address(in, AddressFamily::ipv4);
  const auto to = take_address(in, AddressFamily::ipv4);
  const auto request = echo_packet(in, 8, echo);
  auto built = quoting(type, code, rest, in_ipv4(in, 1, from, to, request), request.size());
  const auto mtu = type == 3 && code == 4 ? rest & 0xffff : 0;
  const auto size = in.flag() ? built.packet.size() : std::size_t{in.number<std::uint8_t>()};
  const auto packet = cut(built.packet, size);
  check_error(probe::parse_icmp(AddressFamily::ipv4, packet), built, packet.size(), echo, to, mtu);

  // The same behind its own header, of which a raw socket keeps the beginning.
  write_checksum(built.packet);
  const auto whole = in_ipv4(in, 64, to, from, built.packet);
  const auto header = whole.size() - built.packet.size();
  const auto read = probe::parse_ipv4_packet(cut(whole, header + packet.size()));
  check_error(read, built, packet.size(), echo, to, mtu);
  if (read) check(read->from == to && read->ttl == 64, "who sent it");
}

// Extension headers, the first of which is of kind `next`.
Packet extensions(Bytes& in, std::uint8_t& next) {
  constexpr std::array<std::uint8_t, 5> kinds{0, 43, 60, 44, 51};
  Packet headers;
  std::vector<std::uint8_t> chain;
  for (auto count = in.below(4); count > 0; --count) chain.push_back(kinds[in.below(kinds.size())]);
  chain.push_back(58);
  next = chain[0];
  for (std::size_t i = 0; i + 1 < chain.size(); ++i) {
    const auto length = static_cast<std::uint8_t>(in.below(4));
    const std::size_t size = chain[i] == 44   ? 8
                             : chain[i] == 51 ? (length + 2u) * 4
                                              : (length + 1u) * 8;
    Packet header(size);
    for (auto& byte : header) byte = in.number<std::uint8_t>();
    header[0] = chain[i + 1];
    header[1] = length;
    if (chain[i] == 44) header[2] = header[3] = 0;  // the first fragment
    headers.insert(headers.end(), header.begin(), header.end());
  }
  return headers;
}

void read_ipv6(Bytes& in) {
  const auto type = static_cast<std::uint8_t>(1 + in.below(4));
  const auto code = in.number<std::uint8_t>();
  const auto rest = in.number<std::uint32_t>();
  probe::Echo echo;
  const auto from = take_address(in, AddressFamily::ipv6);
  const auto to = take_address(in, AddressFamily::ipv6);
  std::uint8_t next = 0;
  const auto headers = extensions(in, next);
  const auto request = echo_packet(in, 128, echo);
  Packet quoted;
  put(quoted, 0x6000'0000u | (in.number<std::uint32_t>() & 0x0fff'ffffu), 4);
  put(quoted, headers.size() + request.size(), 2);
  quoted.push_back(next);
  quoted.push_back(in.number<std::uint8_t>());
  put_address(quoted, from);
  put_address(quoted, to);
  quoted.insert(quoted.end(), headers.begin(), headers.end());
  quoted.insert(quoted.end(), request.begin(), request.end());
  const auto built = quoting(type, code, rest, quoted, request.size());
  const auto size = in.flag() ? built.packet.size() : std::size_t{in.number<std::uint8_t>()};
  const auto packet = cut(built.packet, size);
  check_error(probe::parse_icmp(AddressFamily::ipv6, packet), built, packet.size(), echo, to,
              type == 2 ? rest : 0);
}

}  // namespace
}  // namespace wgvitals::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace wgvitals;
  fuzz::Bytes in(data, size);
  const auto kind = in.below(3);
  if (kind == 0) fuzz::read_ipv4(in);
  if (kind == 1) fuzz::read_ipv6(in);
  if (kind == 2) {
    const auto family = in.flag() ? AddressFamily::ipv4 : AddressFamily::ipv6;
    const fuzz::Packet packet(data + std::min<std::size_t>(size, 2), data + size);
    (void)probe::parse_icmp(family, packet);
    (void)probe::parse_quoted_request(family, packet);
    (void)probe::parse_ipv4_packet(packet);
  }
  return 0;
}
