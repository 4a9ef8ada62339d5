#include "common/model/address.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <string>

#include "common/base/text.h"

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

char* put_group(char* out, unsigned group) { return std::to_chars(out, out + 4, group, 16).ptr; }

// As inet_ntop(3), which takes longer for one address than all else of a peer.
char* put_ipv6(char* out, const std::array<std::uint8_t, 16>& address) {
  const auto group = [&](std::size_t i) { return address[2 * i] << 8u | address[2 * i + 1]; };
  if (std::all_of(address.begin(), address.begin() + 8, [](auto byte) { return byte == 0; })) {
    // Loopback, none, and IPv4 in IPv6, with rules of their own.
    char text[INET6_ADDRSTRLEN];
    (void)::inet_ntop(AF_INET6, address.data(), text, sizeof text);
    const auto size = std::strlen(text);
    std::memcpy(out, text, size);
    return out + size;
  }
  // "::" stands for the longest run of zeros, the first of equal ones, if there are two at least.
  std::size_t run = 8;
  std::size_t run_size = 1;
  for (std::size_t i = 0; i < 8; ++i) {
    std::size_t size = 0;
    while (i + size < 8 && group(i + size) == 0) ++size;
    if (size > run_size) {
      run = i;
      run_size = size;
    }
    i += size;
  }
  for (std::size_t i = 0; i < 8;) {
    if (i == run) {
      *out++ = ':';
      *out++ = ':';
      i += run_size;
    } else {
      if (i > 0 && i != run + run_size) *out++ = ':';
      out = put_group(out, static_cast<unsigned>(group(i++)));
    }
  }
  return out;
}

char* put_address(char* out, AddressFamily family, const std::array<std::uint8_t, 16>& address) {
  if (family == AddressFamily::ipv4) {
    for (std::size_t i = 0; i < 4; ++i) {
      if (i > 0) *out++ = '.';
      out = put_octet(out, address[i]);
    }
    return out;
  }
  return put_ipv6(out, address);
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

std::string_view to_address_text(const Endpoint& endpoint, std::span<char> buffer) {
  if (endpoint.family == AddressFamily::none || buffer.size() < longest_endpoint) return {};
  const char* end = put_address(buffer.data(), endpoint.family, endpoint.address);
  return {buffer.data(), static_cast<std::size_t>(end - buffer.data())};
}

std::optional<Endpoint> parse_address(std::string_view text) {
  const std::string address(text.substr(0, text.find('%')));
  Endpoint endpoint;
  if (::inet_pton(AF_INET, address.c_str(), endpoint.address.data()) == 1) {
    endpoint.family = AddressFamily::ipv4;
    return address.size() == text.size() ? std::optional(endpoint) : std::nullopt;
  }
  if (::inet_pton(AF_INET6, address.c_str(), endpoint.address.data()) != 1) return std::nullopt;
  endpoint.family = AddressFamily::ipv6;
  if (address.size() == text.size()) return endpoint;
  const std::string zone(text.substr(address.size() + 1));
  endpoint.scope = text::to_number<std::uint32_t>(zone).value_or(::if_nametoindex(zone.c_str()));
  return endpoint.scope != 0 ? std::optional(endpoint) : std::nullopt;
}

unsigned to_sockaddr(const Endpoint& endpoint, sockaddr_storage& address) {
  if (endpoint.family == AddressFamily::ipv4) {
    sockaddr_in ipv4{};
    ipv4.sin_family = AF_INET;
    ipv4.sin_port = htons(endpoint.port);
    std::memcpy(&ipv4.sin_addr, endpoint.address.data(), sizeof ipv4.sin_addr);
    std::memcpy(&address, &ipv4, sizeof ipv4);
    return sizeof ipv4;
  }
  if (endpoint.family == AddressFamily::ipv6) {
    sockaddr_in6 ipv6{};
    ipv6.sin6_family = AF_INET6;
    ipv6.sin6_port = htons(endpoint.port);
    ipv6.sin6_scope_id = endpoint.scope;
    std::memcpy(&ipv6.sin6_addr, endpoint.address.data(), sizeof ipv6.sin6_addr);
    std::memcpy(&address, &ipv6, sizeof ipv6);
    return sizeof ipv6;
  }
  return 0;
}

Endpoint to_endpoint(const sockaddr_storage& address) {
  Endpoint endpoint;
  if (address.ss_family == AF_INET) {
    sockaddr_in ipv4;
    std::memcpy(&ipv4, &address, sizeof ipv4);
    endpoint.family = AddressFamily::ipv4;
    endpoint.port = ntohs(ipv4.sin_port);
    std::memcpy(endpoint.address.data(), &ipv4.sin_addr, sizeof ipv4.sin_addr);
  } else if (address.ss_family == AF_INET6) {
    sockaddr_in6 ipv6;
    std::memcpy(&ipv6, &address, sizeof ipv6);
    endpoint.family = AddressFamily::ipv6;
    endpoint.port = ntohs(ipv6.sin6_port);
    endpoint.scope = ipv6.sin6_scope_id;
    std::memcpy(endpoint.address.data(), &ipv6.sin6_addr, sizeof ipv6.sin6_addr);
  }
  return endpoint;
}

}  // namespace wgvitals
