#include "common/model/address.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <random>
#include <string>

namespace wgvitals {
namespace {

Endpoint endpoint(const char* address, std::uint16_t port) {
  Endpoint endpoint;
  endpoint.port = port;
  const bool is_ipv6 = std::string_view(address).find(':') != std::string_view::npos;
  endpoint.family = is_ipv6 ? AddressFamily::ipv6 : AddressFamily::ipv4;
  EXPECT_EQ(::inet_pton(is_ipv6 ? AF_INET6 : AF_INET, address, endpoint.address.data()), 1);
  return endpoint;
}

Prefix prefix(const char* address, std::uint8_t length) {
  const auto at = endpoint(address, 0);
  return {at.address, at.family, length};
}

template <class Address>
std::string shown(const Address& address) {
  char buffer[longest_endpoint];
  return std::string(to_text(address, buffer));
}

TEST(EndpointText, IsAsGoAndWgWriteIt) {
  EXPECT_EQ(shown(endpoint("192.0.2.1", 51820)), "192.0.2.1:51820");
  EXPECT_EQ(shown(endpoint("255.255.255.255", 65535)), "255.255.255.255:65535");
  EXPECT_EQ(shown(endpoint("0.0.0.0", 0)), "0.0.0.0:0");
  EXPECT_EQ(shown(endpoint("2001:db8::1", 1)), "[2001:db8::1]:1");
  EXPECT_EQ(shown(endpoint("::", 51820)), "[::]:51820");
}

TEST(PrefixText, IsAsInetNtopWritesIt) {
  std::mt19937 random(6);
  for (int i = 0; i < 20'000; ++i) {
    Prefix prefix;
    prefix.family = AddressFamily::ipv6;
    prefix.length = 128;
    for (auto& byte : prefix.address) {  // many zeros, so that runs of every length are met
      byte = random() % 4 == 0 ? static_cast<std::uint8_t>(random()) : 0;
    }
    char expected[INET6_ADDRSTRLEN];
    ::inet_ntop(AF_INET6, prefix.address.data(), expected, sizeof expected);
    ASSERT_EQ(shown(prefix), std::string(expected) + "/128");
  }
}

TEST(EndpointText, FitsInTheLongestThatIsPromised) {
  const auto longest = shown(endpoint("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 65535));
  EXPECT_EQ(longest, "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535");
  EXPECT_LE(longest.size(), longest_endpoint);
}

TEST(EndpointText, LeavesTheScopeOut) {
  auto link_local = endpoint("fe80::1", 51820);
  link_local.scope = 3;
  EXPECT_EQ(shown(link_local), "[fe80::1]:51820");
}

TEST(EndpointText, IsEmptyWhereThereIsNone) { EXPECT_EQ(shown(Endpoint{}), ""); }

TEST(EndpointText, IsEmptyWhereTheBufferIsTooSmall) {
  char buffer[longest_endpoint - 1];
  EXPECT_EQ(to_text(endpoint("192.0.2.1", 1), buffer), "");
}

TEST(AddressText, HasNeitherBracketsNorPort) {
  char buffer[longest_endpoint];
  EXPECT_EQ(to_address_text(endpoint("192.0.2.1", 7), buffer), "192.0.2.1");
  EXPECT_EQ(to_address_text(endpoint("2001:db8::1", 7), buffer), "2001:db8::1");
  EXPECT_EQ(to_address_text(Endpoint{}, buffer), "");
  char small[longest_endpoint - 1];
  EXPECT_EQ(to_address_text(endpoint("192.0.2.1", 7), small), "");
}

TEST(ParseAddress, TakesAddressesAndNothingElse) {
  EXPECT_EQ(parse_address("192.0.2.1"), endpoint("192.0.2.1", 0));
  EXPECT_EQ(parse_address("2001:db8::1"), endpoint("2001:db8::1", 0));
  auto scoped = endpoint("fe80::1", 0);
  scoped.scope = 1;
  EXPECT_EQ(parse_address("fe80::1%1"), scoped);
  EXPECT_EQ(parse_address("fe80::1%lo"), scoped);
  for (const char* wrong :
       {"", "example.org", "192.0.2", "192.0.2.1:7", "[2001:db8::1]", "1.2.3.4%lo", "fe80::1%",
        "fe80::1%nosuch0", "192.0.2.1 ", "0x7f.1", "localhost"}) {
    EXPECT_FALSE(parse_address(wrong)) << wrong;
  }
}

TEST(SocketAddress, IsTheSameBackAndForth) {
  auto scoped = endpoint("fe80::1", 51820);
  scoped.scope = 3;
  for (const auto& one : {endpoint("192.0.2.1", 65535), endpoint("2001:db8::1", 1), scoped}) {
    sockaddr_storage address{};
    EXPECT_EQ(to_sockaddr(one, address),
              one.family == AddressFamily::ipv4 ? sizeof(sockaddr_in) : sizeof(sockaddr_in6));
    EXPECT_EQ(to_endpoint(address), one) << shown(one);
  }
  sockaddr_storage none{};
  EXPECT_EQ(to_sockaddr({}, none), 0u);
  EXPECT_EQ(to_endpoint(none), Endpoint{});
}

TEST(PrefixText, IsAddressAndLength) {
  EXPECT_EQ(shown(prefix("10.0.0.0", 8)), "10.0.0.0/8");
  EXPECT_EQ(shown(prefix("0.0.0.0", 0)), "0.0.0.0/0");
  EXPECT_EQ(shown(prefix("::", 0)), "::/0");
  EXPECT_EQ(shown(prefix("2001:db8::", 128)), "2001:db8::/128");
  EXPECT_EQ(shown(Prefix{}), "");
}

TEST(PrefixText, FitsInTheLongestThatIsPromised) {
  char buffer[longest_prefix];
  EXPECT_EQ(to_text(prefix("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 128), buffer),
            "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128");
  char small[longest_prefix - 1];
  EXPECT_EQ(to_text(prefix("10.0.0.0", 8), small), "");
}

}  // namespace
}  // namespace wgvitals
