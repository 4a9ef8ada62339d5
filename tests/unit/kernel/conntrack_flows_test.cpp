#include "common/kernel/conntrack_flows.h"

#include <gtest/gtest.h>

#include <array>
#include <cerrno>
#include <vector>

#include "tests/support/answering_netlink.h"
#include "tests/support/conntrack_messages.h"

namespace wgvitals::kernel {
namespace {

using test::address_message;
using test::dump;
using test::flow_message;
using test::KernelFlow;

TEST(ParseConntrackFlow, TakesBothSources) {
  const auto message = flow_message({"192.0.2.1", 51820, "198.51.100.7", 4500, IPS_ASSURED, 117});
  const auto flow = parse_conntrack_flow(test::header_of(message));
  ASSERT_TRUE(flow);
  EXPECT_EQ(flow->protocol, IPPROTO_UDP);
  EXPECT_EQ(flow->begun_by.family, AddressFamily::ipv4);
  EXPECT_EQ(flow->begun_by.address, (std::array<std::uint8_t, 16>{192, 0, 2, 1}));
  EXPECT_EQ(flow->begun_by.port, 51820);
  EXPECT_EQ(flow->answered_by.address, (std::array<std::uint8_t, 16>{198, 51, 100, 7}));
  EXPECT_EQ(flow->answered_by.port, 4500);
  EXPECT_EQ(flow->status, static_cast<std::uint32_t>(IPS_ASSURED));
  EXPECT_EQ(flow->timeout_s, 117u);

  const auto ipv6 = flow_message({"2001:db8::1", 1, "2001:db8::2", 2, 0, {}});
  const auto six = parse_conntrack_flow(test::header_of(ipv6));
  ASSERT_TRUE(six);
  EXPECT_EQ(six->begun_by.family, AddressFamily::ipv6);
  EXPECT_EQ(six->begun_by.address[15], 1);
  EXPECT_EQ(six->answered_by.address[15], 2);
  EXPECT_FALSE(six->timeout_s);
}

TEST(ParseConntrackFlow, RefusesDamage) {
  test::MessageBuilder builder(0x100);
  builder.fixed(nfgenmsg{AF_INET, 0, 0}).put(CTA_TIMEOUT, std::uint16_t{1});
  const auto wrong_size = builder.message();
  EXPECT_EQ(parse_conntrack_flow(test::header_of(wrong_size)).error().code, Errc::malformed);
  const auto empty = test::MessageBuilder(0x100).message();
  EXPECT_EQ(parse_conntrack_flow(test::header_of(empty)).error().code, Errc::malformed);
}

TEST(ParseOwnAddress, IsNotTheOtherEnds) {
  const auto message = address_message("192.0.2.1", "192.0.2.2");
  const auto address = parse_own_address(test::header_of(message));
  ASSERT_TRUE(address);
  EXPECT_EQ(address->address[3], 1);
  const auto link = test::MessageBuilder(RTM_NEWLINK).message();
  EXPECT_FALSE(parse_own_address(test::header_of(link)));
}

constexpr std::uint32_t replied = IPS_SEEN_REPLY, kept = IPS_SEEN_REPLY | IPS_ASSURED;

class CountFlowsTest : public testing::Test {
 protected:
  // Each of `ipv4` and `ipv6` is what the kernel sends for that family.
  Result<Done> count(std::vector<KernelFlow> ipv4, std::vector<KernelFlow> ipv6) {
    const auto messages = [](const auto& flows) {
      std::vector<test::Message> all;
      all.reserve(flows.size());
      for (const auto& flow : flows) all.push_back(flow_message(flow));
      return all;
    };
    netfilter_.emplace(std::vector{dump(messages(ipv4)), dump(messages(ipv6))});
    test::AnsweringNetlink addresses(
        {dump({address_message("192.0.2.1"), address_message("2001:db8::1")})});
    Netlink netfilter(netfilter_->opener(), NETLINK_NETFILTER);
    Netlink route(addresses.opener(), NETLINK_ROUTE);
    return count_flows(netfilter, route, ports_);
  }

  std::optional<test::AnsweringNetlink> netfilter_;
  std::vector<PortFlows> ports_{{1000, 0, 0, 0, {}}, {51820, 0, 0, 0, {}}};
};

TEST_F(CountFlowsTest, CountsByPortWhoeverBegan) {
  ASSERT_TRUE(count({{"192.0.2.1", 51820, "198.51.100.1", 1, kept, 170},
                     {"198.51.100.2", 2, "192.0.2.1", 51820, replied, 29},
                     {"192.0.2.1", 1000, "198.51.100.3", 3, 0, 12}},
                    {{"2001:db8::1", 51820, "2001:db8::7", 4, 0, {}}}));
  EXPECT_EQ(ports_[0].flows, 1u);
  EXPECT_EQ(ports_[0].unreplied, 1u);
  EXPECT_EQ(ports_[0].assured, 0u);
  EXPECT_EQ(ports_[0].min_timeout_s, 12u);
  EXPECT_EQ(ports_[1].flows, 3u);
  EXPECT_EQ(ports_[1].unreplied, 1u);
  EXPECT_EQ(ports_[1].assured, 1u);
  EXPECT_EQ(ports_[1].min_timeout_s, 29u);
}

TEST_F(CountFlowsTest, LeavesOutWhatIsNotOurs) {
  ASSERT_TRUE(count({{"198.51.100.1", 51820, "198.51.100.2", 51820, kept, 5},  // forwarded
                     {"192.0.2.1", 51821, "198.51.100.2", 51820, kept, 5},     // another port
                     {"198.51.100.1", 51820, "192.0.2.1", 53, kept, 5},        // the others' port
                     {"192.0.2.1", 51820, "198.51.100.1", 1, kept, 5, IPPROTO_TCP}},
                    {}));
  EXPECT_EQ(ports_[0].flows + ports_[1].flows, 0u);
  EXPECT_FALSE(ports_[1].min_timeout_s);
}

TEST_F(CountFlowsTest, CountsAFlowBetweenTwoOfOursOnce) {
  ASSERT_TRUE(count({{"192.0.2.1", 51820, "192.0.2.1", 51820, kept, 9}}, {}));
  EXPECT_EQ(ports_[1].flows, 1u);
}

TEST_F(CountFlowsTest, AsksTheKernelForUdpOnly) {
  ASSERT_TRUE(count({}, {}));
  ASSERT_EQ(netfilter_->asked.size(), 2u);
  const std::uint8_t families[] = {AF_INET, AF_INET6};
  for (std::size_t i = 0; i < 2; ++i) {
    const auto& request = test::header_of(netfilter_->asked[i]);
    EXPECT_EQ(request.nlmsg_type, 0x101);
    EXPECT_TRUE((request.nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP);
    EXPECT_EQ(static_cast<const nfgenmsg*>(::mnl_nlmsg_get_payload(&request))->nfgen_family,
              families[i]);
    EXPECT_EQ(parse_conntrack_flow(request)->protocol, IPPROTO_UDP);
  }
}

TEST_F(CountFlowsTest, NothingIsAskedForNoPort) {
  ports_.clear();
  ASSERT_TRUE(count({}, {}));
  EXPECT_TRUE(netfilter_->asked.empty());
}

}  // namespace
}  // namespace wgvitals::kernel
