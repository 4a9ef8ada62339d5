#include "common/kernel/link.h"

#include <gtest/gtest.h>
#include <net/if.h>

#include <cerrno>
#include <optional>

#include "tests/support/recorded_datagram.h"
#include "tests/support/temp_root.h"

namespace wgvitals::kernel {
namespace {

Link wg0() {
  return {.name = "wg0",
          .kind = "wireguard",
          .index = 7,
          .flags = IFF_UP | IFF_NOARP,
          .mtu = 1420,
          .counters = LinkCounters{.rx_packets = 1,
                                   .tx_packets = 2,
                                   .rx_bytes = 3,
                                   .tx_bytes = 4,
                                   .rx_errors = 5,
                                   .tx_errors = 6,
                                   .rx_dropped = 7,
                                   .tx_dropped = 8,
                                   .rx_length_errors = 9,
                                   .rx_frame_errors = 10}};
}

TEST(ParseLink, TakesEverythingThatIsTold) {
  const auto link = parse_link(test::header_of(test::link_message(wg0())));
  ASSERT_TRUE(link);
  EXPECT_EQ(link->name, "wg0");
  EXPECT_EQ(link->kind, "wireguard");
  EXPECT_EQ(link->index, 7u);
  EXPECT_EQ(link->flags, static_cast<std::uint32_t>(IFF_UP | IFF_NOARP));
  EXPECT_EQ(link->mtu, 1420u);
  ASSERT_TRUE(link->counters);
  const auto& counters = *link->counters;
  EXPECT_EQ(counters.rx_packets, 1u);
  EXPECT_EQ(counters.tx_packets, 2u);
  EXPECT_EQ(counters.rx_bytes, 3u);
  EXPECT_EQ(counters.tx_bytes, 4u);
  EXPECT_EQ(counters.rx_errors, 5u);
  EXPECT_EQ(counters.tx_errors, 6u);
  EXPECT_EQ(counters.rx_dropped, 7u);
  EXPECT_EQ(counters.tx_dropped, 8u);
  EXPECT_EQ(counters.rx_length_errors, 9u);
  EXPECT_EQ(counters.rx_frame_errors, 10u);
}

TEST(ParseLink, TakesTheCountersOfAKernelThatTellsFewerOrMore) {
  const auto few = parse_link(test::header_of(test::link_message(wg0(), 8 * 8)));
  ASSERT_TRUE(few);
  EXPECT_EQ(few->counters->tx_dropped, 8u);
  EXPECT_EQ(few->counters->rx_length_errors, 0u);

  const auto cut = parse_link(test::header_of(test::link_message(wg0(), 13)));
  ASSERT_TRUE(cut);
  EXPECT_EQ(cut->counters->rx_packets, 1u);
  EXPECT_EQ(cut->counters->rx_bytes, 0u);

  const auto many = parse_link(test::header_of(test::link_message(wg0(), 40 * 8)));
  ASSERT_TRUE(many);
  EXPECT_EQ(many->counters->rx_frame_errors, 10u);
}

TEST(ParseLink, LeavesOutCountersThatAreNotTold) {
  auto link = wg0();
  link.counters.reset();
  const auto parsed = parse_link(test::header_of(test::link_message(link)));
  ASSERT_TRUE(parsed);
  EXPECT_FALSE(parsed->counters);
}

TEST(ParseLink, TakesANameWithoutItsEnd) {
  test::MessageBuilder builder(RTM_NEWLINK);
  builder.fixed(ifinfomsg{}).put_bytes(IFLA_IFNAME, "wg0!", 3);
  const auto parsed = parse_link(test::header_of(builder.message()));
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->name, "wg0");
}

TEST(ParseLink, RefusesDamage) {
  test::MessageBuilder other(RTM_DELLINK);
  other.fixed(ifinfomsg{});
  test::MessageBuilder headless(RTM_NEWLINK);
  headless.fixed(std::uint32_t{1});
  test::MessageBuilder short_mtu(RTM_NEWLINK);
  short_mtu.fixed(ifinfomsg{}).put(IFLA_MTU, std::uint16_t{1420});
  test::MessageBuilder overlong(RTM_NEWLINK);
  overlong.fixed(ifinfomsg{}).fixed(nlattr{400, IFLA_IFNAME});
  test::MessageBuilder inside(RTM_NEWLINK);
  inside.fixed(ifinfomsg{}).put(IFLA_LINKINFO, nlattr{400, IFLA_INFO_KIND});
  for (const auto* builder : {&other, &headless, &short_mtu, &overlong, &inside}) {
    const auto parsed = parse_link(test::header_of(builder->message()));
    ASSERT_FALSE(parsed);
    EXPECT_EQ(parsed.error().code, Errc::malformed);
  }
}

TEST(ReadLinks, KeepsOnlyTheKindThatWasAskedFor) {
  test::RecordedKernel kernel;
  kernel.on("links wireguard", test::dump({test::link_message(test::named_link("eth0", "veth")),
                                           test::link_message(wg0())}));
  Netlink route(kernel.opener(), NETLINK_ROUTE);
  const auto links = read_links(route, "wireguard");
  ASSERT_TRUE(links);
  ASSERT_EQ(links->size(), 1u);
  EXPECT_EQ(links->front().name, "wg0");
}

TEST(ReadLinks, FailsAsAWholeWhereOneMessageIsDamaged) {
  test::MessageBuilder damaged(RTM_NEWLINK);
  damaged.fixed(ifinfomsg{}).put(IFLA_MTU, std::uint8_t{1});
  test::RecordedKernel kernel;
  kernel.on("links wireguard", test::dump({test::link_message(wg0()), damaged.message()}));
  Netlink route(kernel.opener(), NETLINK_ROUTE);
  const auto links = read_links(route, "wireguard");
  ASSERT_FALSE(links);
  EXPECT_EQ(links.error().code, Errc::malformed);
}

TEST(ReadLink, FindsOneByItsName) {
  test::RecordedKernel kernel;
  kernel.on("link wg0", test::one(test::link_message(wg0()))).on("link wg1", test::refusal(ENODEV));
  Netlink route(kernel.opener(), NETLINK_ROUTE);
  const auto link = read_link(route, "wg0");
  ASSERT_TRUE(link);
  EXPECT_EQ(link->index, 7u);
  const auto none = read_link(route, "wg1");
  ASSERT_FALSE(none);
  EXPECT_EQ(none.error().code, Errc::absent);
  const auto impossible = read_link(route, "a_name_that_is_too_long");  // nobody is asked
  ASSERT_FALSE(impossible);
  EXPECT_EQ(impossible.error().code, Errc::absent);
}

TEST(ReadThreaded, TakesOnlyTheSameLinks) {
  test::TempRoot top;
  const auto root = top.root();
  EXPECT_EQ(read_threaded(root, wg0()), std::nullopt);
  top.with("sys/class/net/wg0/threaded", "1\n");
  EXPECT_EQ(read_threaded(root, wg0()), std::nullopt);
  top.with("sys/class/net/wg0/ifindex", "8\n");  // another namespace's wg0
  EXPECT_EQ(read_threaded(root, wg0()), std::nullopt);
  top.with("sys/class/net/wg0/ifindex", "7\n");
  EXPECT_EQ(read_threaded(root, wg0()), true);
  top.with("sys/class/net/wg0/threaded", "0\n");
  EXPECT_EQ(read_threaded(root, wg0()), false);
  top.with("sys/class/net/wg0/threaded", "2\n");
  EXPECT_EQ(read_threaded(root, wg0()), true);
  top.with("sys/class/net/wg0/threaded", "\n");
  EXPECT_EQ(read_threaded(root, wg0()), std::nullopt);
}

}  // namespace
}  // namespace wgvitals::kernel
