#include <gmock/gmock.h>
#include <net/if.h>

#include "tests/support/gathering.h"
#include "tests/support/kept_report.h"
#include "tests/support/keys.h"
#include "tests/support/said.h"
#include "tests/support/temp_root.h"

namespace wgvitals::collect {
extern const Entry underlay;

namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::MatchesRegex;

// Routes and links are of the kernel that the tests run on: 127.0.0.1 is reached by lo.
class UnderlayCollectorTest : public testing::Test {
 protected:
  SeenPeer& add_device(const char* name, std::uint32_t index, const char* endpoint) {
    auto& link = gathering_.add_device(name, index).link.emplace();
    link.name = name;
    link.index = index;
    auto& peer = gathering_.add_peer(test::key(index));
    peer.endpoint = *parse_address(endpoint);
    return peer;
  }
  std::string gather() { return gathering_.gather(*collector_, report_); }

  test::TempRoot top_;
  test::TestServices services_{true, top_.root()};
  std::unique_ptr<Collector> collector_ = underlay.make(services_.services, test::settings(""));
  test::Gathering gathering_;
  test::KeptReport report_;
};

TEST_F(UnderlayCollectorTest, TellsTheLinkOfEachDevice) {
  add_device("wg0", 1000, "127.0.0.1");
  add_device("wg1", 1001, "127.0.0.2");
  const std::string rest =
      ",link=lo rx_errors=[0-9]+ tx_errors=[0-9]+ rx_dropped=[0-9]+ tx_dropped=[0-9]+ mtu=65536\n";
  EXPECT_THAT(gather(), MatchesRegex("wireguard_underlay,device=wg0" + rest +
                                     "wireguard_underlay,device=wg1" + rest));
  EXPECT_THAT(report_.texts, IsEmpty());
}

TEST_F(UnderlayCollectorTest, ReadsTheSpeedOnceAMinute) {
  const auto speed = [&](const char* text) { top_.with("sys/class/net/lo/speed", text); };
  top_.with("sys/class/net/lo/ifindex", std::to_string(::if_nametoindex("lo")) + "\n");
  speed("1000\n");
  add_device("wg0", 1000, "127.0.0.1");
  gather();
  gather();
  speed("2500\n");
  gathering_.pass(std::chrono::seconds(30));
  EXPECT_THAT(gather(), HasSubstr("speed_mbit=1000"));
  gathering_.pass(std::chrono::seconds(31));
  gather();
  EXPECT_THAT(gather(), HasSubstr("speed_mbit=2500"));
}

TEST_F(UnderlayCollectorTest, FollowsAnEndpoint) {
  auto& peer = add_device("wg0", 1000, "127.0.0.1");
  EXPECT_THAT(gather(), HasSubstr("link=lo"));
  peer.endpoint = {};
  EXPECT_EQ(gather(), "");
}

}  // namespace
}  // namespace wgvitals::collect
