#include "common/model/address.h"

#include <arpa/inet.h>

#include <array>
#include <charconv>
#include <cstring>

namespace wgvitals {
namespace {

// The numbers of an IPv4 address: most of an address's text, and of a peer's.
struct Octet {
  char digits[3];
  std::uint8_t size;
};
constexpr auto octets = [] {
  std::array<Octet, 256> table{};
  for (unsigned number = 0; number < table.size(); ++number) {
    auto& octet = table[number];
    for (unsigned divisor = number >= 100  ? 100
                            : number >= 10 ? 10
                                           : 1;
         divisor > 0; divisor /= 10) {
      octet.digits[octet.size++] = static_cast<char>('0' + number / divisor % 10);
    }
  }
  return table;
}();

// Appends to `out`; the caller has checked the room. Three characters are written always.
char* put_octet(char* out, std::uint8_t number) {
  const auto& octet = octets[number];
  std::memcpy(out, octet.digits, sizeof octet.digits);
  return out + octet.size;
}

char* put_number(char* out, unsigned number) { return std::to_chars(out, out + 5, number).ptr; }

char* put_address(char* out, AddressFamily family, const std::array<std::uint8_t, 16>& address) {
  if (family == AddressFamily::ipv4) {
    for (std::size_t i = 0; i < 4; ++i) {
      if (i > 0) *out++ = '.';
      out = put_octet(out, address[i]);
    }
    return out;
  }
  char text[INET6_ADDRSTRLEN];
  if (::inet_ntop(AF_INET6, address.data(), text, sizeof text) == nullptr) return out;
  const auto size = std::strlen(text);
  std::memcpy(out, text, size);
  return out + size;
}

}  // namespace

std::string_view to_text(const Endpoint& endpoint, std::span<char> buffer) {
  if (endpoint.family == AddressFamily::none || buffer.size() < longest_endpoint) return {};
  const bool bracketed = endpoint.family == AddressFamily::ipv6;
  char* out = buffer.data();
  if (bracketed) *out++ = '[';
  out = put_address(out, endpoint.family, endpoint.address);
  if (bracketed) *out++ = ']';
  *out++ = ':';
  out = put_number(out, endpoint.port);
  return {buffer.data(), static_cast<std::size_t>(out - buffer.data())};
}

std::string_view to_text(const Prefix& prefix, std::span<char> buffer) {
  if (prefix.family == AddressFamily::none || buffer.size() < longest_prefix) return {};
  char* out = put_address(buffer.data(), prefix.family, prefix.address);
  *out++ = '/';
  out = put_octet(out, prefix.length);
  return {buffer.data(), static_cast<std::size_t>(out - buffer.data())};
}

}  // namespace wgvitals
