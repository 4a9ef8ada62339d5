#include "common/kernel/underlay.h"

#include <gmock/gmock.h>
#include <linux/rtnetlink.h>

#include <algorithm>
#include <cstring>

#include "tests/support/kept_report.h"
#include "tests/support/keys.h"
#include "tests/support/netlink_messages.h"
#include "tests/support/temp_root.h"

namespace wgvitals::kernel {
namespace {

using std::chrono::seconds;
using testing::ElementsAre;
using testing::IsEmpty;

// A kernel whose route to 10.x.y.z leaves by link z; there is none to 10.x.y.0.
class Routes {
 public:
  OpenNetlink opener() {
    return [this](int) -> Result<std::unique_ptr<Datagram>> {
      return std::unique_ptr<Datagram>(std::make_unique<Socket>(*this));
    };
  }
  int asked = 0;
  std::uint32_t shift = 0;  // added to every link

 private:
  class Socket final : public Datagram {
   public:
    explicit Socket(Routes& routes) : routes_(routes) {}
    Result<Done> send(std::span<const std::byte> message) override {
      const auto& request = *reinterpret_cast<const nlmsghdr*>(message.data());
      ++routes_.asked;
      std::uint32_t link = 0;
      for_each_attribute(::mnl_nlmsg_get_payload_offset(&request, sizeof(rtmsg)),
                         ::mnl_nlmsg_get_payload_len(&request) - sizeof(rtmsg),
                         [&](const nlattr& one) {
                           const auto* bytes = static_cast<const std::uint8_t*>(payload(one));
                           if (type_of(one) == RTA_DST) link = bytes[3];
                           return true;
                         });
      if (link == 0) {
        test::MessageBuilder refusal(NLMSG_ERROR, 0);
        answer_ = refusal.fixed(nlmsgerr{-ENETUNREACH, {}}).message();
      } else {
        test::MessageBuilder route(RTM_NEWROUTE, 0);
        rtmsg fixed{};
        fixed.rtm_family = AF_INET;
        answer_ = route.fixed(fixed).put(RTA_OIF, link + routes_.shift).message();
      }
      test::header_of(answer_).nlmsg_seq = request.nlmsg_seq;
      return Done{};
    }
    Result<std::size_t> receive(std::span<std::byte> buffer, std::chrono::milliseconds) override {
      std::memcpy(buffer.data(), answer_.data(), answer_.size());
      return answer_.size();
    }

   private:
    Routes& routes_;
    test::Message answer_;
  };
};

class UnderlayTest : public testing::Test {
 protected:
  SeenDevice& add_device(std::uint32_t index) {
    auto& device = devices_.devices.emplace_back();
    device.identity = {4026, index};
    device.link.emplace().index = index;
    device.first_peer = static_cast<std::uint32_t>(devices_.peers.size());
    return device;
  }
  void add_peer(const std::string& endpoint) {
    ++devices_.devices.back().peer_count;
    auto& peer = devices_.peers.emplace_back();
    if (!endpoint.empty()) peer.endpoint = *parse_address(endpoint);
    peer.endpoint.port = static_cast<std::uint16_t>(devices_.peers.size());  // plays no part
  }
  void look_up() { underlay_.look_up(devices_, sockets_, now_, report_); }

  Routes routes_;
  Netlink netlink_{routes_.opener(), NETLINK_ROUTE};
  Underlay underlay_{netlink_};
  test::TempRoot top_;
  SocketNamespaces sockets_{top_.root()};
  Devices devices_;
  Underlay::Clock::time_point now_{seconds(1000)};
  test::KeptReport report_;
};

TEST_F(UnderlayTest, NamesEachLinkOnce) {
  add_device(100);
  for (const auto* endpoint : {"10.0.0.3", "", "10.0.1.2", "10.0.0.3", "10.0.0.0"}) {
    add_peer(endpoint);
  }
  add_device(101);
  add_peer("10.0.0.7");
  look_up();
  EXPECT_THAT(underlay_.links_of({4026, 100}), ElementsAre(2u, 3u));
  EXPECT_THAT(underlay_.links_of({4026, 101}), ElementsAre(7u));
  EXPECT_THAT(underlay_.links_of({4026, 102}), IsEmpty());
  EXPECT_THAT(underlay_.all_links(), ElementsAre(2u, 3u, 7u));
  EXPECT_EQ(routes_.asked, 4);
  for (const auto code : report_.codes) EXPECT_EQ(code, Errc::absent);
}

TEST_F(UnderlayTest, IsOfOneNamespace) {
  add_device(100);
  add_peer("10.0.0.3");
  add_device(101).netns = "blue";
  add_peer("10.0.0.101");  // by itself: it never leaves
  add_peer("10.0.0.4");
  Underlay elsewhere(netlink_, "blue");
  elsewhere.look_up(devices_, sockets_, now_, report_);
  look_up();
  EXPECT_THAT(underlay_.all_links(), ElementsAre(3u));
  EXPECT_THAT(elsewhere.all_links(), ElementsAre(4u));
}

TEST_F(UnderlayTest, AsksAnewAfterAMinuteOrAMove) {
  auto& device = add_device(100);
  add_peer("10.0.0.3");
  look_up();
  routes_.shift = 20;
  now_ += seconds(59);
  look_up();
  EXPECT_THAT(underlay_.all_links(), ElementsAre(3u));
  EXPECT_EQ(routes_.asked, 1);
  now_ += seconds(1);
  look_up();
  EXPECT_THAT(underlay_.all_links(), ElementsAre(23u));
  devices_.peers[0].endpoint = *parse_address("10.0.0.4");
  look_up();
  EXPECT_THAT(underlay_.all_links(), ElementsAre(24u));
  routes_.shift = 30;
  device.fwmark = 7;
  look_up();
  EXPECT_THAT(underlay_.all_links(), ElementsAre(34u));
}

TEST_F(UnderlayTest, IsBounded) {
  add_device(100);
  for (int i = 0; i < 250; ++i) add_peer("10.0.0.1");
  for (int i = 2; i < 200; ++i) add_peer("10.0.0." + std::to_string(i));
  look_up();
  EXPECT_THAT(underlay_.all_links(), ElementsAre(1u, 2u, 3u, 4u, 5u, 6u, 7u));  // 256 peers
  EXPECT_EQ(routes_.asked, 7);
  devices_.clear();
  for (std::uint32_t index = 1; index <= 20; ++index) {
    add_device(index);
    for (int i = 1; i < 100; ++i) add_peer("10.0.0." + std::to_string(i));
  }
  routes_.asked = 0;
  look_up();
  EXPECT_EQ(routes_.asked, 128);
  look_up();
  look_up();
  EXPECT_EQ(routes_.asked, 20 * 16);
  // All are looked up again, in turn, but first what is new.
  routes_.shift = 100;
  now_ += seconds(60);
  devices_.peers[19 * 99].endpoint = *parse_address("10.0.0.200");
  look_up();
  EXPECT_EQ(underlay_.all_links().back(), 300u);
  devices_.peers[19 * 99].endpoint = *parse_address("10.0.0.1");
  for (int i = 0; i < 3; ++i) look_up();
  EXPECT_EQ(underlay_.all_links().front(), 101u);
  EXPECT_EQ(underlay_.all_links().size(), 16u);
}

TEST_F(UnderlayTest, KeepsWhatItKnowsWhateverTheOrder) {
  add_device(300);
  for (int i = 1; i <= 100; ++i) add_peer("10.0.0." + std::to_string(i));
  look_up();
  const auto links = underlay_.all_links();
  std::reverse(devices_.peers.begin(), devices_.peers.end());
  look_up();
  EXPECT_EQ(underlay_.all_links(), links);
  EXPECT_EQ(routes_.asked, 16);
  devices_.peers.back().endpoint = *parse_address("10.0.0.200");  // that of the first link
  look_up();
  EXPECT_EQ(underlay_.all_links().front(), 2u);
  EXPECT_EQ(underlay_.all_links().size(), 16u);
  EXPECT_EQ(routes_.asked, 17);
}

TEST_F(UnderlayTest, ForgetsADeviceThatIsGone) {
  add_device(100);
  add_peer("10.0.0.3");
  look_up();
  devices_.clear();
  devices_.unread.push_back({4026, 100});
  look_up();
  EXPECT_THAT(underlay_.all_links(), ElementsAre(3u));  // only not readable for now
  devices_.clear();
  look_up();
  EXPECT_THAT(underlay_.all_links(), IsEmpty());
}

TEST_F(UnderlayTest, PassesOverOtherNamespaces) {
  add_device(100).netns = "blue";
  add_peer("10.0.0.3");
  add_device(101).link.reset();
  add_peer("10.0.0.4");
  look_up();
  EXPECT_EQ(routes_.asked, 0);
}

TEST(ReadSpeed, IsOfTheLinkThatIsMeant) {
  test::TempRoot top;
  Link link;
  link.name = "eth0";
  link.index = 3;
  EXPECT_FALSE(read_speed(top.root(), link));
  top.with("sys/class/net/eth0/ifindex", "3\n").with("sys/class/net/eth0/speed", "2500\n");
  EXPECT_EQ(read_speed(top.root(), link), 2500);
  link.index = 4;  // another namespace's eth0
  EXPECT_FALSE(read_speed(top.root(), link));
  link.index = 3;
  for (const auto* unknown : {"-1\n", "4294967295\n", "0\n", "fast\n"}) {
    top.with("sys/class/net/eth0/speed", unknown);
    EXPECT_FALSE(read_speed(top.root(), link)) << unknown;
  }
}

}  // namespace
}  // namespace wgvitals::kernel
