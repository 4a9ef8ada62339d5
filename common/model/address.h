// Addresses of the two families, in the order of the network.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

struct sockaddr;
struct sockaddr_storage;

namespace wgvitals {

enum class AddressFamily : std::uint8_t { none, ipv4, ipv6 };

struct Endpoint {
  std::array<std::uint8_t, 16> address{};  // IPv4 in the first four
  std::uint32_t scope = 0;                 // interface index of a link-local address
  std::uint16_t port = 0;
  AddressFamily family = AddressFamily::none;
  friend bool operator==(const Endpoint&, const Endpoint&) = default;
};

struct Prefix {
  std::array<std::uint8_t, 16> address{};
  AddressFamily family = AddressFamily::none;
  std::uint8_t length = 0;
  friend bool operator==(const Prefix&, const Prefix&) = default;
};

constexpr std::size_t longest_endpoint = 48;  // "[...39 characters...]:65535"
constexpr std::size_t longest_prefix = 44;    // "...39 characters.../128"

// As Go and wg(8) write them: "192.0.2.1:51820", "[2001:db8::1]:51820" (a scope is left out, as in
// Telegraf), "10.0.0.0/8". Into `buffer`, of at least the longest; empty for family none.
std::string_view to_text(const Endpoint& endpoint, std::span<char> buffer);
std::string_view to_text(const Prefix& prefix, std::span<char> buffer);

// The address alone, with no brackets and no port: "2001:db8::1".
std::string_view to_address_text(const Endpoint& endpoint, std::span<char> buffer);

// An address as it is written, without a port: "192.0.2.1", "2001:db8::1", "fe80::1%eth0". Empty
// for anything else, a name included: nothing is looked up.
std::optional<Endpoint> parse_address(std::string_view text);

// For system calls. The size of what was written; 0 for family none.
unsigned to_sockaddr(const Endpoint& endpoint, sockaddr_storage& address);
Endpoint to_endpoint(const sockaddr_storage& address);

}  // namespace wgvitals
