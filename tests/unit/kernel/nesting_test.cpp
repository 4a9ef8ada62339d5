#include "common/kernel/nesting.h"

#include <gtest/gtest.h>

#include <map>
#include <string>

#include "tests/support/keys.h"

namespace wgvitals::kernel {
namespace {

Endpoint address(const char* text) { return *parse_address(text); }

Prefix prefix(const char* text, std::uint8_t length) {
  const auto from = address(text);
  return {from.address, from.family, length};
}

TEST(Contains, ComparesAsManyBitsAsThePrefixHas) {
  EXPECT_TRUE(contains(prefix("0.0.0.0", 0), address("203.0.113.9")));
  EXPECT_TRUE(contains(prefix("203.0.112.0", 20), address("203.0.127.255")));
  EXPECT_FALSE(contains(prefix("203.0.112.0", 20), address("203.0.128.0")));
  EXPECT_TRUE(contains(prefix("203.0.113.9", 32), address("203.0.113.9")));
  EXPECT_FALSE(contains(prefix("203.0.113.9", 32), address("203.0.113.8")));
  EXPECT_TRUE(contains(prefix("2001:db8::", 33), address("2001:db8:7fff::1")));
  EXPECT_FALSE(contains(prefix("2001:db8::", 33), address("2001:db8:8000::1")));
  EXPECT_FALSE(contains(prefix("::", 0), address("203.0.113.9")));
  EXPECT_FALSE(contains(prefix("0.0.0.0", 0), address("::1")));
}

// A kernel of few routes: by destination and mark, to a link.
class Nesting : public testing::Test {
 protected:
  void add_device(std::uint32_t link, std::uint32_t mark = 0, const char* netns = "") {
    auto& device = devices_.devices.emplace_back();
    device.name = "wg" + std::to_string(link);
    device.netns = netns;
    device.fwmark = mark;
    device.link.emplace().index = link;
    device.first_peer = static_cast<std::uint32_t>(devices_.peers.size());
  }
  void add_peer(const char* endpoint, const char* allowed, std::uint8_t length) {
    ++devices_.devices.back().peer_count;
    auto& peer = devices_.peers.emplace_back();
    peer.key = test::key(static_cast<std::uint32_t>(devices_.peers.size()));
    if (endpoint != nullptr) peer.endpoint = address(endpoint);
    peer.first_prefix = static_cast<std::uint32_t>(devices_.prefixes.size());
    peer.prefix_count = 1;
    devices_.prefixes.push_back(prefix(allowed, length));
  }
  void add_route(const char* to, std::uint32_t mark, std::uint32_t link) {
    char text[longest_endpoint];
    routes_[{std::string(to_address_text(address(to), text)), mark}] = link;
  }
  Result<Way> way(const char* to, std::uint32_t mark = 0, std::uint32_t inside = 0) {
    return read_way(
        [this](const RouteQuestion& question) -> Result<Route> {
          char text[longest_endpoint];
          const auto found =
              routes_.find({std::string(to_address_text(question.to, text)), question.mark});
          if (found == routes_.end()) return Error{Errc::absent, 0, "no route"};
          Route route;
          route.link = found->second;
          return route;
        },
        devices_, {.to = address(to), .from = {}, .mark = mark}, inside);
  }

  Devices devices_;
  std::map<std::pair<std::string, std::uint32_t>, std::uint32_t> routes_;
};

using Links = std::vector<std::uint32_t>;

TEST_F(Nesting, APlainLinkIsNoTunnel) {
  add_device(7);
  add_route("192.0.2.1", 0, 2);
  const auto found = way("192.0.2.1");
  ASSERT_TRUE(found);
  EXPECT_EQ(found->route.link, 2u);
  EXPECT_EQ(found->tunnels, Links{});
  EXPECT_FALSE(found->loops);
}

TEST_F(Nesting, FollowsTheCarriersEndpointWithTheCarriersMark) {
  add_device(7, 0x51);
  add_peer("198.51.100.7", "10.0.0.0", 8);
  add_device(8, 0x52);
  add_peer("198.51.100.9", "0.0.0.0", 0);
  add_peer("198.51.100.8", "192.0.2.0", 24);  // the longer prefix takes it
  add_route("192.0.2.1", 0x51, 8);
  add_route("198.51.100.8", 0x52, 2);
  const auto once = way("192.0.2.1", 0x51, 7);
  ASSERT_TRUE(once);
  EXPECT_EQ(once->route.link, 8u);
  EXPECT_EQ(once->tunnels, Links{8});
  EXPECT_FALSE(once->loops);

  add_device(9);
  add_peer("203.0.113.3", "198.51.100.8", 32);
  add_route("198.51.100.8", 0x52, 9);
  add_route("203.0.113.3", 0, 2);
  const auto twice = way("192.0.2.1", 0x51, 7);
  ASSERT_TRUE(twice);
  EXPECT_EQ(twice->tunnels, (Links{8, 9}));
}

TEST_F(Nesting, RecognisesACircle) {
  add_device(7);
  add_peer("192.0.2.1", "0.0.0.0", 0);
  add_route("192.0.2.1", 0, 7);
  const auto own = way("192.0.2.1", 0, 7);  // a tunnel's packets into itself
  ASSERT_TRUE(own);
  EXPECT_TRUE(own->loops);
  EXPECT_EQ(own->tunnels, Links{});

  add_device(8);
  add_peer("192.0.2.2", "192.0.2.1", 32);
  add_route("192.0.2.1", 0, 8);
  add_route("192.0.2.2", 0, 7);
  const auto pair = way("192.0.2.1", 0, 7);
  ASSERT_TRUE(pair);
  EXPECT_TRUE(pair->loops);
  EXPECT_EQ(pair->tunnels, Links{8});
  const auto program = way("192.0.2.1");
  ASSERT_TRUE(program);
  EXPECT_TRUE(program->loops);
}

TEST_F(Nesting, EndsWhereTheWayIsNotKnown) {
  add_device(8);
  add_peer(nullptr, "192.0.2.0", 24);
  add_peer("198.51.100.8", "203.0.113.0", 24);
  add_route("192.0.2.1", 0, 8);    // its peer has no endpoint
  add_route("203.0.113.1", 0, 8);  // its endpoint has no route
  add_route("10.0.0.1", 0, 8);     // no peer takes it
  for (const char* to : {"192.0.2.1", "203.0.113.1", "10.0.0.1"}) {
    const auto found = way(to);
    ASSERT_TRUE(found) << to;
    EXPECT_EQ(found->tunnels, Links{8}) << to;
  }
  EXPECT_FALSE(way("10.0.0.2"));
}

TEST_F(Nesting, ADeviceOfAnotherNamespaceIsAnother) {
  add_device(2, 0, "blue");
  add_peer("198.51.100.8", "0.0.0.0", 0);
  add_route("192.0.2.1", 0, 2);
  const auto found = way("192.0.2.1");
  ASSERT_TRUE(found);
  EXPECT_EQ(found->tunnels, Links{});
}

}  // namespace
}  // namespace wgvitals::kernel
