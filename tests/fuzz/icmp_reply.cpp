// ICMP answers: any bytes, and answers built from them, which must give what was put in, whole or
// cut anywhere.

#include "tests/fuzz/icmp_packet.h"

namespace wgvitals::fuzz {
namespace {

void read_ipv4(Bytes& in) {
  probe::Echo echo;
  const auto from = take_address(in, AddressFamily::ipv4);
  const auto ttl = in.number<std::uint8_t>();
  auto body = echo_packet(in, 0, echo);
  write_checksum(body);
  const auto damage = in.rarely() ? in.below(body.size()) : body.size();
  if (damage < body.size()) body[damage] ^= 0x10;
  const auto whole = in_ipv4(in, ttl, from, take_address(in, AddressFamily::ipv4), body);
  const auto header = whole.size() - body.size();
  const auto size = in.flag() ? whole.size() : in.below(static_cast<std::size_t>(256));
  const auto packet = cut(whole, size);
  const auto read = probe::parse_ipv4_packet(packet);
  if (packet.size() < header + probe::icmp_header_size) {
    check(!read, "half an answer is none");
  } else if (damage < body.size()) {
    // One wrong bit: seen, unless the sum could not be had; then the type must still be right.
    check(!read || packet.size() < whole.size(), "a damaged answer is none");
  } else {
    check(read.has_value(), "an answer is read");
    check(read->kind == probe::IcmpMessage::Kind::reply, "as an answer");
    check(read->from == from && read->ttl == ttl, "its header is what was built");
    check_echo(*read, echo, packet.size() >= header + probe::echo_head_size);
  }
}

void read_without_header(Bytes& in, AddressFamily family) {
  probe::Echo echo;
  const std::uint8_t type = family == AddressFamily::ipv4 ? 0 : 129;
  const auto whole = echo_packet(in, type, echo);
  const auto packet = cut(whole, in.number<std::uint8_t>());
  const auto read = probe::parse_icmp(family, packet);
  check(read.has_value() == (packet.size() >= probe::icmp_header_size), "an answer is read");
  if (read) check_echo(*read, echo, packet.size() >= probe::echo_head_size);
}

void read_own_request(Bytes& in, AddressFamily family) {
  probe::Echo echo;
  auto request = echo_packet(in, family == AddressFamily::ipv4 ? 8 : 128, echo);
  const auto filler = std::span(request).subspan(probe::echo_head_size);
  const auto head = probe::make_echo_head(family, echo, probe::to_sum(filler));
  if (family == AddressFamily::ipv4) write_checksum(request);
  check(std::equal(head.begin(), head.end(), request.begin()), "a request is what was built");
}

}  // namespace
}  // namespace wgvitals::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace wgvitals;
  fuzz::Bytes in(data, size);
  const auto kind = in.below(4);
  const auto family = in.flag() ? AddressFamily::ipv4 : AddressFamily::ipv6;
  if (kind == 0) fuzz::read_ipv4(in);
  if (kind == 1) fuzz::read_without_header(in, family);
  if (kind == 2) fuzz::read_own_request(in, family);
  if (kind == 3) {
    const fuzz::Packet packet(data + std::min<std::size_t>(size, 2), data + size);
    (void)probe::parse_ipv4_packet(packet);
    (void)probe::parse_icmp(family, packet);
  }
  return 0;
}
