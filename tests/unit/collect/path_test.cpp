#include <gmock/gmock.h>
#include <net/if.h>

#include <thread>

#include "tests/support/gathering.h"
#include "tests/support/kept_report.h"
#include "tests/support/keys.h"
#include "tests/support/said.h"

namespace wgvitals::collect {
extern const Entry path;

namespace {

using test::key;
using test::key_text;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

// The peers come from a Gathering, the pings from a FakePinger, the routes from the kernel that the
// tests run on: those to 127.0.0.0/8, which leave by lo.
class PathTest : public testing::Test {
 protected:
  void begin(const std::string& toml, bool resident = true) {
    services_.emplace(resident);
    settings_ = test::settings(toml);
    collector_ = path.make(services_->services, *settings_);
  }

  SeenDevice& add_device(const std::string& name, std::uint32_t index, std::uint32_t mtu) {
    auto& device = peers_.add_device(name, index);
    auto& link = device.link.emplace();
    link.name = name;
    link.index = index;
    link.mtu = mtu;
    return device;
  }
  SeenPeer& add_peer(std::uint32_t number, const char* endpoint, const char* allowed,
                     std::uint8_t length) {
    auto& peer = peers_.add_peer(key(number));
    if (*endpoint != '\0') peer.endpoint = *parse_address(endpoint);
    peer.endpoint.port = 51820;
    const auto from = *parse_address(allowed);
    peers_.devices.prefixes.push_back({from.address, from.family, length});
    peer.prefix_count = 1;
    return peer;
  }

  void sample() {
    test::Said unused;
    peers_.gather(unused);
    peers_.sample(*collector_, report_);
  }
  std::string gather() {
    sample();
    test::Said said;
    collector_->emit(peers_.now, peers_.devices, peers_.peers, said);
    collector_->told();
    return said.text();
  }
  std::string line(const char* device, std::uint32_t number, const std::string& fields) {
    return std::string("wireguard_path,device=") + device + ",public_key=" + key_text(number) +
           " " + fields + "\n";
  }

  std::uint32_t lo_ = ::if_nametoindex("lo");
  test::Gathering peers_;
  std::optional<test::TestServices> services_;
  std::optional<config::Settings> settings_;
  std::unique_ptr<Collector> collector_;
  test::KeptReport report_;
};

TEST_F(PathTest, TellsTheKernelsWayToEachEndpoint) {
  begin("");
  add_device("wg0", 1000, 1420);
  add_peer(1, "127.0.0.1", "10.0.0.1", 32);
  add_peer(2, "", "10.0.0.2", 32);  // has no endpoint
  EXPECT_EQ(gather(), "");          // nothing was looked up yet
  EXPECT_EQ(gather(),
            line("wg0", 1, "interface_mtu=1420 path_mtu=65536 mtu_headroom=64056 nested=0") +
                line("wg0", 1, "via_device=\"lo\""));
  EXPECT_THAT(report_.texts, IsEmpty());
}

TEST_F(PathTest, ASettledOneShotNeedsNoThirdReading) {
  begin("", false);
  add_device("wg0", 1000, 65476);
  for (std::uint32_t i = 1; i <= 600; ++i) add_peer(i, "127.0.0.1", "10.0.0.1", 32);
  sample();
  EXPECT_EQ(collector_->unsettled(), "344 answers");  // a pass looks up 256
  EXPECT_EQ(collector_->unsettled(), "88 answers");
  EXPECT_EQ(collector_->unsettled(), "");
  EXPECT_THAT(gather(), HasSubstr("path_mtu=65536 mtu_headroom=0"));
}

TEST_F(PathTest, FollowsAnEndpointThatMoves) {
  begin("");
  add_device("wg0", 1000, 1420);
  auto& peer = add_peer(1, "127.0.0.1", "10.0.0.1", 32);
  gather();
  EXPECT_THAT(gather(), HasSubstr("mtu_headroom=64056"));
  peer.endpoint = *parse_address("::1");
  EXPECT_EQ(gather(), "");  // what was known is of another endpoint
  EXPECT_THAT(gather(), HasSubstr("mtu_headroom=64036"));
  peer.endpoint = {};
  EXPECT_EQ(gather(), "");
}

TEST_F(PathTest, LooksAgainAfterAMinuteOnly) {
  begin("");
  add_device("wg0", 1000, 1420);
  add_peer(1, "127.0.0.1", "10.0.0.1", 32);
  gather();
  gather();
  // The link is a tunnel by now: seen when it is looked up the next time.
  add_device("carrier", lo_, 65536);
  peers_.pass(std::chrono::seconds(30));
  gather();
  EXPECT_THAT(gather(), HasSubstr("nested=0"));
  peers_.pass(std::chrono::seconds(31));
  gather();
  EXPECT_THAT(gather(), HasSubstr("nested=1"));
}

TEST_F(PathTest, CountsTunnelsWithinTunnels) {
  begin("");
  add_device("wg0", 1000, 1420);
  add_peer(1, "127.0.0.1", "10.0.0.1", 32);
  add_device("carrier", lo_, 65536);
  add_peer(2, "127.0.0.2", "127.0.0.0", 8);
  gather();
  const auto said = gather();
  EXPECT_THAT(said, HasSubstr("path_mtu=65536 mtu_headroom=64056 nested=1"));
  EXPECT_THAT(said, HasSubstr(line("carrier", 2, "via_device=\"lo\"")));  // into itself
}

TEST_F(PathTest, LeavesOtherNamespacesAlone) {
  begin("");
  add_device("wg0", 1000, 1420).netns = "blue";
  add_peer(1, "127.0.0.1", "10.0.0.1", 32);
  gather();
  EXPECT_EQ(gather(), "");
}

TEST_F(PathTest, TellsWhereOrdinaryPacketsLeave) {
  begin("egress_address = \"127.0.0.1\"");
  add_device("leaking", 1000, 1420);
  add_peer(1, "127.0.0.1", "0.0.0.0", 0);
  add_peer(2, "127.0.0.1", "10.0.0.2", 32);  // would not take them
  add_device("carrier", lo_, 65536);
  add_peer(3, "", "0.0.0.0", 0);
  add_peer(4, "", "127.0.0.0", 8);  // the longer prefix
  gather();
  const auto said = gather();
  EXPECT_THAT(said, HasSubstr(line("leaking", 1,
                                   "interface_mtu=1420 path_mtu=65536 mtu_headroom=64056 "
                                   "egress_via_tunnel=0 nested=1")));
  EXPECT_THAT(said, HasSubstr(line("leaking", 2,
                                   "interface_mtu=1420 path_mtu=65536 mtu_headroom=64056 "
                                   "nested=1")));
  EXPECT_THAT(said, HasSubstr(line("carrier", 4, "interface_mtu=65536 egress_via_tunnel=1")));
  EXPECT_THAT(said, Not(HasSubstr(key_text(3))));
}

TEST_F(PathTest, RefusesAnEgressThatIsNoAddress) {
  begin("egress_address = \"example.org\"");
  gather();
  EXPECT_THAT(report_.texts, ElementsAre("egress_address: \"example.org\" is no address"));
}

TEST_F(PathTest, ComparesTheRoundTripsOutsideAndInside) {
  begin("path_underlay = true");
  add_device("wg0", 1000, 1420).fwmark = 0x51;
  auto& peer = add_peer(1, "127.0.0.1", "10.0.0.1", 32);
  auto& pinger = services_->pinger;
  gather();
  ASSERT_EQ(pinger.targets.size(), 1u);
  EXPECT_EQ(pinger.targets.at(0).address, *parse_address("127.0.0.1"));
  EXPECT_EQ(pinger.targets.at(0).path.mark, 0x51u);
  EXPECT_THAT(collector_->unsettled(), HasSubstr("1 answers"));
  pinger.answer(0, 10);
  pinger.answer(0, 20);
  EXPECT_THAT(collector_->unsettled(), IsEmpty());
  peers_.peers.row(0).tunnel_rtt_ms = 17.5f;
  EXPECT_THAT(gather(), HasSubstr("underlay_rtt_ms=15 tunnel_rtt_ms=17.5 overhead_ms=2.5"));
  EXPECT_THAT(gather(), HasSubstr("underlay_rtt_ms=15 "));  // until the next is known
  pinger.answer(0, 30);
  EXPECT_THAT(gather(), HasSubstr("underlay_rtt_ms=30 tunnel_rtt_ms=17.5 overhead_ms=-12.5"));
  pinger.lose(0);
  EXPECT_THAT(gather(), Not(HasSubstr("underlay_rtt_ms")));

  peer.endpoint = *parse_address("127.0.0.2");
  gather();
  ASSERT_EQ(pinger.targets.size(), 1u);
  EXPECT_EQ(pinger.targets.begin()->second.address, *parse_address("127.0.0.2"));
  peer.endpoint = {};
  gather();
  EXPECT_THAT(pinger.targets, IsEmpty());
}

// On loopback; needs CAP_NET_RAW as all live probing does.
TEST_F(PathTest, SearchesOutsideAndThroughTheTunnel) {
  begin("path_search = true", false);
  add_device("lo", 1000, 1420);  // the tunnel's probes leave by the device of this name
  auto& peer = add_peer(1, "127.0.0.1", "127.0.0.2", 32);
  peer.has_handshake = true;
  peer.handshake_ns =
      std::chrono::duration_cast<std::chrono::nanoseconds>(peers_.now.wall.time_since_epoch())
          .count() -
      1'000'000'000;
  sample();
  EXPECT_TRUE(peers_.peers.row(0).pinged);
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!collector_->unsettled().empty() && std::chrono::steady_clock::now() < end) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  EXPECT_THAT(gather(), HasSubstr("interface_mtu=1420 path_mtu=65535 mtu_headroom=64055 "
                                  "tunnel_path_mtu=1420 nested=0"));
  EXPECT_FALSE(peers_.peers.row(0).pinged);
  services_->loop.stop();
}

TEST_F(PathTest, ASearchMakesNoSession) {
  begin("path_search = true", false);
  add_device("lo", 1000, 1420);
  add_peer(1, "127.0.0.1", "127.0.0.2", 32);
  sample();
  EXPECT_FALSE(peers_.peers.row(0).pinged);
  services_->loop.stop();
}

}  // namespace
}  // namespace wgvitals::collect
