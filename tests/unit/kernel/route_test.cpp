#include "common/kernel/route.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <string>

#include "common/kernel/wireguard.h"
#include "tests/support/recorded_datagram.h"

namespace wgvitals::kernel {
namespace {

test::Message from_hex(const std::string& hex) {
  test::Message bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes.push_back(static_cast<std::byte>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  }
  return bytes;
}

Endpoint address(const char* text) { return *parse_address(text); }

// Recorded from Linux 6.18.
const std::string cacheinfo =
    "24000c000200000083000000dce9000000000000000000000000000000000000"
    "00000000";

TEST(ParseRoute, TakesAGatewayAndASource) {
  const auto route = parse_route(test::header_of(from_hex(
      "700000001800000001000000711b000002200000fe0000010002000008000f00fe00000008000100cb007107"
      "080004000300000008000700c633640108000500c63364020800190000000000"
      "24000c00020000000000000000000000000000000000000000000000"
      "0000000000000000")));
  ASSERT_TRUE(route);
  EXPECT_EQ(*route, (Route{.link = 3,
                           .gateway = address("198.51.100.2"),
                           .source = address("198.51.100.1"),
                           .mtu = std::nullopt}));
}

TEST(ParseRoute, TakesAnMtuThatAnIcmpErrorTold) {
  const auto route = parse_route(test::header_of(from_hex(
      "7c0000001800000001000000d12b000002200000fe0000010002000008000f00fe000000080001000a000302"
      "0800040003000000080007000a000101080005000a0001020c00080008000200140500000800190000000000" +
      cacheinfo)));
  ASSERT_TRUE(route);
  EXPECT_EQ(
      *route,
      (Route{
          .link = 3, .gateway = address("10.0.1.2"), .source = address("10.0.1.1"), .mtu = 1300}));
}

TEST(ParseRoute, TakesALockedMtu) {
  const auto route = parse_route(test::header_of(from_hex(
      "840000001800000001000000711b000002200000fe0000010002000008000f00fe00000008000100c0000209"
      "080004000300000008000700c633640108000500c63364021400080008000100040000000800020000050000"
      "080019000000000024000c000200000000000000000000000000000000000000000000000000000000000000")));
  ASSERT_TRUE(route);
  EXPECT_EQ(route->mtu, 1280u);
  EXPECT_TRUE(route->mtu_locked);
}

TEST(ParseRoute, TakesIpv6) {
  const auto route = parse_route(test::header_of(from_hex(
      "bc0000001800000001000000711b00000a808000fe0300010000000008000f00fe0000001400010020010db8"
      "00030000000000000000000114000200000000000000000000000000000000001400070020010db800010000"
      "00000000000000010c0008000800020078050000080006000004000014000500fe8000000000000000000000"
      "0000000908000400030000002400"
      "0c0002000000000000000000000000000000000000000000000000000000000000000500140000000000")));
  ASSERT_TRUE(route);
  EXPECT_EQ(*route, (Route{.link = 3,
                           .gateway = address("fe80::9"),
                           .source = address("2001:db8:1::1"),
                           .mtu = 1400}));
}

TEST(ParseRoute, TakesAGatewayOfTheOtherFamily) {
  const auto route = parse_route(test::header_of(from_hex(
      "800000001800000001000000711b000002200000fe0000010002000008000f00fe000000080001000a050001"
      "080004000300000008000700c63364011600"
      "12000a0020010db80001000000000000000000020000080019000000000024000c0002000000000000000000"
      "00000000000000000000000000000000000000000000")));
  ASSERT_TRUE(route);
  EXPECT_EQ(route->gateway, address("2001:db8:1::2"));
  EXPECT_EQ(route->source, address("198.51.100.1"));
}

test::MessageBuilder ipv4_route() {
  test::MessageBuilder builder(RTM_NEWROUTE, 0);
  rtmsg fixed{};
  fixed.rtm_family = AF_INET;
  builder.fixed(fixed);
  return builder;
}

TEST(ParseRoute, RefusesWhatIsDamaged) {
  EXPECT_FALSE(parse_route(test::header_of(test::link_message({}))));
  test::MessageBuilder short_one(RTM_NEWROUTE, 0);
  EXPECT_FALSE(parse_route(test::header_of(short_one.message())));
  const std::uint64_t wide = 3;
  for (const int type : {RTA_OIF, RTA_GATEWAY, RTA_VIA, RTA_PREFSRC}) {
    auto builder = ipv4_route();
    EXPECT_FALSE(parse_route(test::header_of(builder.put(type, wide).message()))) << type;
  }
  auto metrics = ipv4_route();
  metrics.nest(RTA_METRICS, [&](test::MessageBuilder& nest) { nest.put(RTAX_MTU, wide); });
  EXPECT_FALSE(parse_route(test::header_of(metrics.message())));
  auto odd = ipv4_route();
  EXPECT_FALSE(parse_route(test::header_of(odd.put_bytes(RTA_VIA, "x", 1).message())));
}

TEST(ParseRoute, PassesOverWhatItDoesNotKnow) {
  auto builder = ipv4_route();
  const auto route =
      parse_route(test::header_of(builder.put(77, std::uint64_t{1}).put(RTA_OIF, 5u).message()));
  ASSERT_TRUE(route);
  EXPECT_EQ(route->link, 5u);
}

// The kernel that the tests run on.
class ReadRoute : public testing::Test {
 protected:
  Netlink netlink_{WireGuardReader::open_own_netlink(), NETLINK_ROUTE};
};

TEST_F(ReadRoute, LoopbackLeavesByLo) {
  const auto route = read_route(netlink_, {.to = address("127.0.0.1"), .from = {}});
  ASSERT_TRUE(route) << to_text(route.error());
  EXPECT_EQ(route->source, address("127.0.0.1"));
  const auto link = read_link(netlink_, route->link);
  ASSERT_TRUE(link) << to_text(link.error());
  EXPECT_EQ(link->name, "lo");
  EXPECT_EQ(path_mtu(*route, *link), link->mtu);
}

TEST_F(ReadRoute, NoRouteIsAbsentAndSaysWhereTo) {
  // 240.0.0.0/4 has no route but a default one, so it is asked for by a link that has none.
  const auto route =
      read_route(netlink_, {.to = address("240.0.0.1"), .from = {}, .link = 0x7ffffff0});
  ASSERT_FALSE(route);
  EXPECT_EQ(route.error().code, Errc::absent);
  EXPECT_FALSE(read_route(netlink_, {}));
  EXPECT_EQ(read_link(netlink_, 0x7ffffff0).error().code, Errc::absent);
}

TEST(PathMtu, IsTheSmallerOfRouteAndLink) {
  Link link;
  link.mtu = 1500;
  EXPECT_EQ(path_mtu({.gateway = {}, .source = {}, .mtu = std::nullopt}, link), 1500u);
  EXPECT_EQ(path_mtu({.gateway = {}, .source = {}, .mtu = 1300}, link), 1300u);
  EXPECT_EQ(path_mtu({.gateway = {}, .source = {}, .mtu = 9000}, link), 1500u);
}

}  // namespace
}  // namespace wgvitals::kernel
