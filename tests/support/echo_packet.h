// ICMP echo as it passes a TUN device: requests are turned into replies where they lie, good ones
// and such as must not count.
#pragma once

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <vector>

#include "common/model/address.h"

namespace wgvitals::test {

class EchoRequest {
 public:
  // Empty for what is no whole echo request of either family.
  static std::optional<EchoRequest> read(std::span<std::uint8_t> packet) {
    if (packet.size() < 20) return std::nullopt;
    const bool ipv6 = packet[0] >> 4u == 6;
    const std::size_t header = ipv6 ? 40 : (packet[0] & 15u) * 4u;
    if (packet.size() < header + 8) return std::nullopt;
    const bool echo =
        ipv6 ? packet[6] == 58 && packet[header] == 128
             : packet[9] == 1 && (packet[6] & 0x3fu) == 0 && packet[7] == 0 && packet[header] == 8;
    if (!echo) return std::nullopt;
    return EchoRequest(packet, header, ipv6);
  }

  Endpoint target() const {
    Endpoint to;
    to.family = ipv6_ ? AddressFamily::ipv6 : AddressFamily::ipv4;
    std::copy_n(destination(), address_size(), to.address.begin());
    return to;
  }

  // From here on it is the reply.
  void answer() {
    std::swap_ranges(source(), source() + address_size(), destination());
    set(type(), {static_cast<std::uint8_t>(ipv6_ ? 129 : 0), type()[1]});
  }

  // A reply as from the address beside the right one.
  void spoil_source() {
    auto* const last = destination() - 2;
    const std::array<std::uint8_t, 2> other{last[0], static_cast<std::uint8_t>(last[1] ^ 1u)};
    if (!ipv6_) adjust(&packet_[10], last, other);
    if (ipv6_) adjust(checksum(), last, other);  // of the pseudo header
    std::copy(other.begin(), other.end(), last);
  }

  void spoil_identifier() { flip(type() + 4); }

  void spoil_payload() {
    if (packet_.size() >= header_ + 10) flip(type() + 8);
  }

  // The request's own packet as the error "host unreachable" of a router quotes it.
  std::vector<std::uint8_t> refusal(const Endpoint& router) const {
    const std::size_t quoted = std::min(packet_.size(), ipv6_ ? std::size_t{1232} : header_ + 8);
    const std::size_t head = ipv6_ ? 40 : 20;
    std::vector<std::uint8_t> error(head + 8 + quoted);
    std::copy_n(packet_.begin(), quoted, error.begin() + static_cast<std::ptrdiff_t>(head + 8));
    error[head] = ipv6_ ? 1 : 3;
    error[head + 1] = ipv6_ ? 3 : 1;
    const std::size_t addresses = ipv6_ ? 8 : 12;
    std::copy_n(router.address.begin(), address_size(), &error[addresses]);
    std::copy_n(&packet_[addresses], address_size(), &error[addresses] + address_size());
    const auto size = static_cast<std::uint16_t>(ipv6_ ? 8 + quoted : error.size());
    if (ipv6_) {
      error[0] = 0x60;
      put(&error[4], size);
      error[6] = 58;
      error[7] = 64;
      put(&error[head + 2], sum(std::span(error).subspan(8), size + 58u));
    } else {
      error[0] = 0x45;
      put(&error[2], size);
      error[8] = 64;
      error[9] = 1;
      put(&error[10], sum(std::span(error).first(head), 0));
      put(&error[head + 2], sum(std::span(error).subspan(head), 0));
    }
    return error;
  }

 private:
  EchoRequest(std::span<std::uint8_t> packet, std::size_t header, bool ipv6)
      : packet_(packet), header_(header), ipv6_(ipv6) {}

  std::ptrdiff_t address_size() const { return ipv6_ ? 16 : 4; }
  std::uint8_t* source() const { return &packet_[ipv6_ ? 8 : 12]; }
  std::uint8_t* destination() const { return source() + address_size(); }
  std::uint8_t* type() const { return &packet_[header_]; }
  std::uint8_t* checksum() const { return type() + 2; }

  static unsigned get(const std::uint8_t* at) { return static_cast<unsigned>(at[0] << 8u | at[1]); }
  static void put(std::uint8_t* at, unsigned value) {
    at[0] = static_cast<std::uint8_t>(value >> 8u);
    at[1] = static_cast<std::uint8_t>(value);
  }
  static unsigned fold(unsigned total) {
    while (total > 0xffff) total = (total & 0xffffu) + (total >> 16u);
    return total;
  }
  static unsigned sum(std::span<const std::uint8_t> bytes, unsigned total) {
    for (std::size_t i = 0; i < bytes.size(); ++i)
      total += unsigned{bytes[i]} << (i % 2 == 0 ? 8u : 0u);
    return ~fold(total) & 0xffffu;
  }

  // RFC 1624: the checksum after two bytes of what it covers change.
  static void adjust(std::uint8_t* checksum, const std::uint8_t* old,
                     std::array<std::uint8_t, 2> fresh) {
    put(checksum, ~fold((~get(checksum) & 0xffffu) + (~get(old) & 0xffffu) + get(fresh.data())));
  }
  void set(std::uint8_t* at, std::array<std::uint8_t, 2> fresh) {
    adjust(checksum(), at, fresh);
    std::copy(fresh.begin(), fresh.end(), at);
  }
  void flip(std::uint8_t* at) {
    set(at, {static_cast<std::uint8_t>(at[0] ^ 0xa5u), static_cast<std::uint8_t>(at[1] ^ 0x5au)});
  }

  std::span<std::uint8_t> packet_;
  std::size_t header_;
  bool ipv6_;
};

}  // namespace wgvitals::test
