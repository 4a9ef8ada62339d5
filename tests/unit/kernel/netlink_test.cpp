#include "common/kernel/netlink.h"

#include <gtest/gtest.h>

#include <cerrno>

#include "tests/support/recorded_datagram.h"

namespace wgvitals::kernel {
namespace {

using test::Message;

// Asks for the links of a kind, and keeps the names of what is answered.
class NetlinkTest : public testing::Test {
 protected:
  Result<Done> ask(std::uint16_t flags = NLM_F_DUMP) {
    NetlinkRequest request(RTM_GETLINK, flags);
    request.extra_header<ifinfomsg>();
    if (flags == 0) ::mnl_attr_put_strz(request.header(), IFLA_IFNAME, "a");
    names_.clear();
    return netlink_.ask(request, [&](const nlmsghdr& message) -> Result<Done> {
      const auto* attribute =
          static_cast<const nlattr*>(::mnl_nlmsg_get_payload_offset(&message, sizeof(ifinfomsg)));
      names_ += ::mnl_attr_get_str(attribute);
      if (names_ == refused_) return Error{Errc::malformed, 0, "refused"};
      return Done{};
    });
  }

  static Message link(const char* name) { return test::link_message(test::named_link(name)); }

  test::RecordedKernel kernel_;
  Netlink netlink_{kernel_.opener(), NETLINK_ROUTE};
  std::string names_;
  std::string refused_ = "nothing";
};

TEST_F(NetlinkTest, HandsOnEveryMessageOfADumpHoweverItIsDivided) {
  kernel_.on("links of all kinds", test::dump({link("a"), link("b")}))
      .on("links of all kinds", test::dump_together({link("c"), link("d")}));
  ASSERT_TRUE(ask());
  EXPECT_EQ(names_, "ab");
  ASSERT_TRUE(ask());
  EXPECT_EQ(names_, "cd");
  EXPECT_EQ(kernel_.opened, 1);
}

TEST_F(NetlinkTest, EndsWithTheOneAnswerOfAPlainRequest) {
  kernel_.on("link a", test::one(link("a")));
  ASSERT_TRUE(ask(0));
  EXPECT_EQ(names_, "a");
}

TEST_F(NetlinkTest, PassesOverAnswersToEarlierRequests) {
  kernel_.on("links of all kinds", test::dump({test::with_sequence(link("old"), 4711), link("a")}));
  ASSERT_TRUE(ask());
  EXPECT_EQ(names_, "a");
}

TEST_F(NetlinkTest, SaysThatADumpWasTornWhereverTheMarkStands) {
  kernel_.on("links of all kinds", test::dump({test::torn(link("a")), link("b")}))
      .on("links of all kinds", {{link("a"), test::torn(test::done())}, {}});
  for (int i = 0; i < 2; ++i) {
    const auto asked = ask();
    ASSERT_FALSE(asked);
    EXPECT_EQ(asked.error().code, Errc::interrupted);
  }
}

TEST_F(NetlinkTest, ReceivesTheRestAfterAMessageThatIsRefused) {
  refused_ = "a";
  kernel_.on("links of all kinds", test::dump({link("a"), link("b")}))
      .on("links of all kinds", test::dump({link("c")}));
  const auto asked = ask();
  ASSERT_FALSE(asked);
  EXPECT_EQ(asked.error().where, "refused");
  EXPECT_EQ(names_, "a");
  EXPECT_TRUE(ask());  // nothing of the first is left over
  EXPECT_EQ(names_, "c");
}

TEST_F(NetlinkTest, SaysWhatTheKernelRefuses) {
  struct Case {
    int number;
    Errc code;
  };
  for (const auto& [number, code] :
       {Case{ENODEV, Errc::absent}, Case{EOPNOTSUPP, Errc::absent}, Case{ENOENT, Errc::absent},
        Case{EPERM, Errc::denied}, Case{EACCES, Errc::denied}, Case{EINTR, Errc::interrupted},
        Case{EBUSY, Errc::interrupted}, Case{ENOMEM, Errc::io}}) {
    kernel_.on("links of all kinds", test::refusal(number))
        .on("links of all kinds", {{link("a"), test::done(number)}, {}});
    for (int i = 0; i < 2; ++i) {
      const auto asked = ask();
      ASSERT_FALSE(asked) << number;
      EXPECT_EQ(asked.error().code, code) << number;
      EXPECT_EQ(asked.error().number, number);
    }
  }
  EXPECT_EQ(kernel_.opened, 1);
}

TEST_F(NetlinkTest, OpensAnewAfterAFailureOfTheSocket) {
  kernel_.on("links of all kinds", test::silence())
      .on("links of all kinds", test::dump({link("a")}));
  const auto asked = ask();
  ASSERT_FALSE(asked);
  EXPECT_EQ(asked.error().code, Errc::timed_out);
  EXPECT_TRUE(ask());
  EXPECT_EQ(kernel_.opened, 2);
}

TEST_F(NetlinkTest, TellsWhyThereIsNoSocket) {
  kernel_.open_failure = Error{Errc::denied, EPERM, "netns blue"};
  const auto asked = ask();
  ASSERT_FALSE(asked);
  EXPECT_EQ(asked.error().code, Errc::denied);
  kernel_.open_failure.reset();
  kernel_.on("links of all kinds", test::dump({}));
  EXPECT_TRUE(ask());
}

TEST_F(NetlinkTest, RefusesAMessageWhoseLengthIsWrong) {
  auto longer = link("a");
  test::header_of(longer).nlmsg_len += 64;
  auto shorter = link("a");
  test::header_of(shorter).nlmsg_len = sizeof(nlmsghdr) - 1;
  auto negative = link("a");  // as an int
  test::header_of(negative).nlmsg_len = 0xffffff00;
  for (const auto& message : {longer, shorter, negative}) {
    kernel_.on("links of all kinds", test::one(message));
    const auto asked = ask();
    ASSERT_FALSE(asked);
    EXPECT_EQ(asked.error().code, Errc::malformed);
    EXPECT_EQ(names_, "");
  }
}

TEST_F(NetlinkTest, WipesItsBufferHoweverTheReceptionEnds) {
  const auto device =
      test::device_message(31, {7, "wg0"}, {{.key = {}, .psk = test::preshared_key}});
  auto damaged = device;
  damaged.resize(damaged.size() + 2);
  for (const auto& answer : {test::dump({device}), test::too_large(device), test::one(damaged),
                             test::one(device).then_silence()}) {
    kernel_.on("links of all kinds", answer);
    (void)ask();
    ASSERT_TRUE(kernel_.was_read());
    EXPECT_FALSE(kernel_.remembers(test::private_key));
    EXPECT_FALSE(kernel_.remembers(test::preshared_key));
  }
}

TEST(NetlinkSocket, ReachesTheKernel) {
  // Loopback is in every namespace.
  Netlink netlink(
      [](int protocol) -> Result<std::unique_ptr<Datagram>> {
        auto socket = open_netlink_socket(protocol);
        if (!socket) return socket.error();
        return make_datagram(std::move(*socket));
      },
      NETLINK_ROUTE);
  NetlinkRequest request(RTM_GETLINK, NLM_F_DUMP);
  request.extra_header<ifinfomsg>();
  int links = 0;
  const auto asked = netlink.ask(request, [&](const nlmsghdr&) -> Result<Done> {
    ++links;
    return Done{};
  });
  ASSERT_TRUE(asked) << to_text(asked.error());
  EXPECT_GE(links, 1);
}

}  // namespace
}  // namespace wgvitals::kernel
