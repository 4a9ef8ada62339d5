// The IP packets that travel inside a tunnel that a probe has opened: ICMP echo and the first steps
// of a TCP connection, built and read without any interface.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "common/model/address.h"

namespace wgvitals::probe {

struct InnerPath {
  Endpoint source, target;  // of the same family; ports: of TCP
};

// IPv4 or IPv6 with ICMP echo request: `identifier` tells one probe from another, 32 bytes of
// `cookie` and filler. Returns the packet's size; `into` holds 128 bytes at least.
std::size_t build_echo(const InnerPath& path, std::uint16_t identifier, std::uint16_t sequence,
                       std::uint64_t cookie, std::span<std::uint8_t> into);
// TCP SYN, and RST behind the SYN-ACK, whose sequence number is the SYN's and 1.
std::size_t build_syn(const InnerPath& path, std::uint32_t sequence, std::span<std::uint8_t> into);
std::size_t build_rst(const InnerPath& path, std::uint32_t sequence, std::span<std::uint8_t> into);

// What came out of the tunnel, as far as it concerns what was sent into it.
struct InnerAnswer {
  enum class Kind : std::uint8_t {
    echo_reply,  // `sequence`: which
    icmp_error,  // `type`, `code`, `from`; `sequence` of the echo that it quotes; `of_tcp`
    syn_ack,
    tcp_reset,
  };
  Kind kind = Kind::echo_reply;
  std::uint16_t sequence = 0;
  std::uint8_t type = 0, code = 0;
  bool of_tcp = false;
  Endpoint from;
};

// Empty where it is no sound packet (lengths, checksums) or answers nothing that this path's probe
// sent: addresses, identifier, cookie, ports and TCP's acknowledgement must be right. Trailing
// padding is passed over.
std::optional<InnerAnswer> parse_inner(std::span<const std::uint8_t> packet, const InnerPath& path,
                                       std::uint16_t identifier, std::uint64_t cookie,
                                       std::uint32_t tcp_sequence);

// In words: "port unreachable", "administratively prohibited", ...
const char* to_text_of_icmp(AddressFamily family, std::uint8_t type, std::uint8_t code);

}  // namespace wgvitals::probe
