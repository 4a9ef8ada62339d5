// ICMP echo packets of both families (RFC 792, RFC 4443): requests written; answers, and errors
// with the request that they quote, read.
//
// An answer, as an IPv4 raw socket gives it; other sockets begin at its second line:
//   45 00 00 54 1a 2b 00 00 40 01 .. .. c0 00 02 01 0a 00 00 02   protocol 1, from 192.0.2.1
//   00 00 5b 1c 12 34 00 07                                       type 0, id 0x1234, sequence 7
//   a1 b2 c3 d4 e5 f6 07 18  00 00 00 2a  00 01 00 07             cookie, target 42, number 65543
//   10 11 12 13 ...                                               filler
// An error (type 3) has in place of the third line the IP header and the beginning of a request.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "common/model/address.h"

namespace wgvitals::probe {

struct Echo {
  std::uint64_t cookie = 0;  // drawn by the sender, so that no other's echo is taken for its own
  std::uint32_t target = 0;
  std::uint32_t number = 0;
  std::uint16_t id = 0;
  std::uint16_t sequence = 0;
  friend bool operator==(const Echo&, const Echo&) = default;
};

constexpr std::size_t icmp_header_size = 8;
constexpr std::size_t echo_head_size = icmp_header_size + 16;  // up to the filler

// What stands behind the head. `filler_sum` is to_sum() of it.
void fill(std::span<std::uint8_t> filler);
std::uint16_t to_sum(std::span<const std::uint8_t> bytes);  // RFC 1071, not complemented

// The head of a request, with its checksum; for IPv6 the kernel writes that.
std::array<std::uint8_t, echo_head_size> make_echo_head(AddressFamily family, const Echo& echo,
                                                        std::uint16_t filler_sum);

struct IcmpMessage {
  enum class Kind : std::uint8_t { reply, error };

  Kind kind = Kind::reply;
  std::uint8_t type = 0;
  std::uint8_t code = 0;
  std::uint8_t ttl = 0;   // left when it arrived; 0: it came without IP header
  bool marked = false;    // cookie, target and number were there: some errors quote 8 bytes only
  std::uint32_t mtu = 0;  // that a packet too big was for; 0: not said, or something else
  Endpoint from;          // who sent it; family none: it came without IP header
  Endpoint destination;   // of an error: where the quoted request went
  Echo echo;              // of an error: of the quoted request
};

// `bytes`: with the IP header, as IPv4 raw sockets give it (its checksums are looked at unless it
// was cut), or without. Empty for what is no echo reply and no error for an echo request.
std::optional<IcmpMessage> parse_ipv4_packet(std::span<const std::uint8_t> bytes);
std::optional<IcmpMessage> parse_icmp(AddressFamily family, std::span<const std::uint8_t> bytes);

// Of a request as the error queue quotes it (MSG_ERRQUEUE of a ping socket: without IP header).
std::optional<IcmpMessage> parse_quoted_request(AddressFamily family,
                                                std::span<const std::uint8_t> bytes);

// The errno that says an error best, near net/ipv4/icmp.c:icmp_err_convert, but that EACCES stands
// for all that is prohibited.
int to_errno(AddressFamily family, std::uint8_t type, std::uint8_t code);

}  // namespace wgvitals::probe
