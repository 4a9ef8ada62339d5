#include <gmock/gmock.h>

#include <cerrno>

#include "tests/support/gathering.h"
#include "tests/support/kept_report.h"
#include "tests/support/keys.h"
#include "tests/support/said.h"

namespace wgvitals::collect {
extern const Entry ping;

namespace {

using test::key;
using test::key_text;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

// The peers come from a Gathering, the pings from a FakePinger.
class PingTest : public testing::Test {
 protected:
  void begin(const std::string& toml) {
    settings_ = test::settings(toml);
    collector_ = ping.make(services_.services, *settings_);
  }

  // The passes up to the emission.
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

  void add_peer(std::uint32_t number, std::uint8_t length = 32) {
    peers_.add_peer(key(number)).endpoint = test::ipv4(1, 51820);
    auto& prefix = peers_.devices.prefixes.emplace_back();
    prefix.family = AddressFamily::ipv4;
    prefix.address = {10, 0, 0, static_cast<std::uint8_t>(number)};
    prefix.length = length;
    peers_.devices.peers.back().prefix_count = 1;
  }

  test::FakePinger& pinger() { return services_.pinger; }
  std::string address(probe::PingId id) {
    char text[longest_endpoint];
    return std::string(to_address_text(pinger().targets.at(id).address, text));
  }

  test::TestServices services_;
  test::Gathering peers_;
  std::optional<config::Settings> settings_;
  std::unique_ptr<Collector> collector_;
  test::KeptReport report_;
};

TEST_F(PingTest, PingsNobodyUnlessAsked) {
  begin("ping_peer_interval = \"2s\"\n");
  EXPECT_EQ(collector_, nullptr);
}

TEST_F(PingTest, HandsTheOptionsOfABlockToTheEngine) {
  begin(R"([[inputs.wgvitals.ping]]
host = "192.0.2.1"
interval = "200ms"
timeout = "1.5s"
count = 5
size = 100
ttl = 9
tos = 184
dont_fragment = true
source_address = "192.0.2.9"
device = "eth0"
mark = 51820
backoff = 1
)");
  sample();
  EXPECT_THAT(report_.texts, IsEmpty());
  ASSERT_THAT(pinger().targets, SizeIs(1));
  const auto& target = pinger().targets.at(0);
  EXPECT_EQ(address(0), "192.0.2.1");
  EXPECT_EQ(target.interval, std::chrono::milliseconds(200));
  EXPECT_EQ(target.timeout, std::chrono::milliseconds(1500));
  EXPECT_EQ(target.count, 5);
  EXPECT_EQ(target.size, 100);
  EXPECT_EQ(target.slowest, 1);
  EXPECT_EQ(target.path.ttl, 9);
  EXPECT_EQ(target.path.tos, 184);
  EXPECT_TRUE(target.path.dont_fragment);
  EXPECT_EQ(target.path.source, parse_address("192.0.2.9"));
  EXPECT_EQ(target.path.device, "eth0");
  EXPECT_EQ(target.path.mark, 51820u);
}

TEST_F(PingTest, PingsBothFamiliesButFromAnAddressItsOwnOnly) {
  begin(
      "[[inputs.wgvitals.ping]]\nhost = [\"192.0.2.1\", \"2001:db8::1\"]\n"
      "[[inputs.wgvitals.ping]]\nhost = \"2001:db8::2\"\nsource_address = \"192.0.2.9\"\n");
  sample();
  ASSERT_THAT(pinger().targets, SizeIs(2));
  EXPECT_EQ(pinger().targets.at(0).path.family, AddressFamily::ipv4);
  EXPECT_EQ(address(1), "2001:db8::1");
  EXPECT_EQ(pinger().targets.at(1).path.family, AddressFamily::ipv6);
  EXPECT_THAT(report_.texts, ElementsAre(HasSubstr("2001:db8::2: an address of the other family")));
}

TEST_F(PingTest, TellsWhatTelegrafTellsAndMore) {
  begin("[[inputs.wgvitals.ping]]\nhost = \"192.0.2.1\"\nlabels.site = \"berlin\"\n");
  sample();
  pinger().answer(0, 10);
  pinger().answer(0, 14);
  pinger().lose(0);
  pinger().settle(0, -1, ENETUNREACH, probe::PingOutcome::Kind::unsent);
  EXPECT_EQ(gather(),
            "ping,url=192.0.2.1,site=berlin packets_transmitted=3 packets_received=2 "
            "percent_packet_loss=33.3333 ttl=64 minimum_response_ms=10 average_response_ms=12 "
            "maximum_response_ms=14 standard_deviation_ms=2 percentile50_ms=12 "
            "percentile95_ms=13.8 percentile99_ms=13.96 result_code=0 jitter_ms=4 "
            "packets_unsent=1 duplicates=0 reordered=0 late=0 outage_ms=1000\n"
            "ping,url=192.0.2.1,site=berlin resolved_address=\"192.0.2.1\"\n");
  EXPECT_EQ(pinger().gathers, 1);
}

TEST_F(PingTest, AWindowIsToldOnceAndOnlyWhereItReachedTheHost) {
  begin("[[inputs.wgvitals.ping]]\nhost = \"192.0.2.1\"\n");
  sample();
  pinger().answer(0, 10);
  test::Said late;
  collector_->emit(peers_.now, peers_.devices, peers_.peers, late);  // and no told()
  pinger().answer(0, 20);
  EXPECT_THAT(gather(), HasSubstr("packets_transmitted=2"));
  EXPECT_EQ(gather(), "");
}

TEST_F(PingTest, ADeadHostHasLossAndNoTimes) {
  begin("[[inputs.wgvitals.ping]]\nhost = \"192.0.2.1\"\n");
  sample();
  pinger().lose(0);
  EXPECT_THAT(gather(), AllOf(HasSubstr("packets_received=0 percent_packet_loss=100 result_code=1"),
                              Not(HasSubstr("response_ms")), Not(HasSubstr("jitter"))));
}

TEST_F(PingTest, WhatCannotBeSentIsNoLoss) {
  begin("[[inputs.wgvitals.ping]]\nhost = \"192.0.2.1\"\n");
  sample();
  pinger().settle(0, -1, ENETUNREACH, probe::PingOutcome::Kind::unsent);
  EXPECT_THAT(gather(), AllOf(HasSubstr("packets_transmitted=0"), HasSubstr("result_code=2"),
                              HasSubstr("packets_unsent=1"), Not(HasSubstr("loss"))));
}

TEST_F(PingTest, SaysWhatItCannotUseAndPingsTheRest) {
  begin(R"([[inputs.wgvitals.ping]]
host = ["192.0.2.1", "192.0.2.1"]
labels.url = "x"
[[inputs.wgvitals.ping]]
host = "192.0.2.2"
source_address = "nowhere"
[inputs.wgvitals.ping_peer_addresses]
"short" = "10.0.0.1"
)");
  sample();
  EXPECT_THAT(report_.texts,
              testing::UnorderedElementsAre(
                  HasSubstr("'192.0.2.1' is pinged already"), HasSubstr("'nowhere' is no address"),
                  HasSubstr("label 'url'"), HasSubstr("'short' is no public key")));
  EXPECT_THAT(pinger().targets, SizeIs(1));
}

TEST_F(PingTest, AHostThatTheEngineRefusesIsSaid) {
  begin("[[inputs.wgvitals.ping]]\nhost = \"192.0.2.1\"\n");
  pinger().refusal = "192.0.2.1: too many";
  sample();
  sample();
  EXPECT_THAT(report_.texts, ElementsAre(HasSubstr("too many")));
  EXPECT_EQ(collector_->unsettled(), "");
  pinger().refusal.clear();
  sample();
  EXPECT_THAT(pinger().targets, IsEmpty());  // what it cannot do, it never can
}

TEST_F(PingTest, ARefusalThatPassesIsTriedAgain) {
  begin("[[inputs.wgvitals.ping]]\nhost = \"192.0.2.1\"\n");
  pinger().refusal = "no thread";
  pinger().refused_as = Errc::io;
  sample();
  EXPECT_THAT(report_.texts, ElementsAre(HasSubstr("no thread")));
  pinger().refusal.clear();
  report_.texts.clear();
  sample();
  EXPECT_THAT(report_.texts, IsEmpty());
  EXPECT_THAT(pinger().targets, SizeIs(1));
}

TEST_F(PingTest, WhileNobodyGathersTheOlderTimesAreForgotten) {
  begin("[[inputs.wgvitals.ping]]\nhost = \"192.0.2.1\"\n");
  sample();
  constexpr std::uint64_t samples = 5, probes = 1'000'000;
  for (std::uint64_t i = 0; i < samples; ++i) {
    for (std::uint64_t probe = 0; probe < probes; ++probe) pinger().answer(0, i == 0 ? 9 : 5);
    sample();
  }
  EXPECT_THAT(report_.texts, ElementsAre(HasSubstr("nobody has gathered")));
  EXPECT_THAT(gather(),
              AllOf(HasSubstr("packets_received=5000000"), HasSubstr("maximum_response_ms=5 ")));
}

TEST_F(PingTest, TellsAtEveryGatherWhatWasSettledOfABurst) {
  begin("[[inputs.wgvitals.ping]]\nhost = \"192.0.2.1\"\ncount = 3\n");
  sample();
  for (int i = 0; i < 3; ++i) pinger().lose(0);
  EXPECT_THAT(gather(), HasSubstr("packets_transmitted=3 packets_received=0"));
  pinger().lose(0);  // the engine sends fewer now
  EXPECT_THAT(gather(), HasSubstr("packets_transmitted=1 packets_received=0"));
  pinger().answer(0, 1);  // and is back
  EXPECT_THAT(gather(), HasSubstr("packets_transmitted=1 packets_received=1"));
  for (int i = 0; i < 3; ++i) pinger().answer(0, 1);
  EXPECT_THAT(gather(), HasSubstr("packets_transmitted=3 packets_received=3"));
  // A burst that is longer than the time between two gathers.
  for (int i = 0; i < 2; ++i) pinger().answer(0, 1);
  EXPECT_THAT(gather(), HasSubstr("packets_transmitted=2 packets_received=2"));
  pinger().answer(0, 1);
  EXPECT_THAT(gather(), HasSubstr("packets_transmitted=1 packets_received=1"));
  EXPECT_EQ(gather(), "");
}

TEST_F(PingTest, WaitsForEveryFirstWindow) {
  begin("[[inputs.wgvitals.ping]]\nhost = [\"192.0.2.1\", \"192.0.2.2\"]\ncount = 2\n");
  EXPECT_EQ(collector_->unsettled(), "2 of 2 targets");
  for (const int round : {1, 2}) {
    pinger().answer(0, 1);
    pinger().lose(1);
    EXPECT_EQ(collector_->unsettled(), round == 1 ? "2 of 2 targets" : "");
  }
}

TEST_F(PingTest, PingsEachPeerThroughItsTunnel) {
  begin("ping_peers = true\nping_peer_interval = \"2s\"\n");
  peers_.peers.set_names({{key_text(1), {"laptop", {{"site", "berlin"}}, ""}}});
  peers_.add_device("wg0", 7);
  add_peer(1);
  add_peer(2, 24);  // no single host
  sample();
  ASSERT_THAT(pinger().targets, SizeIs(1));
  EXPECT_EQ(address(0), "10.0.0.1");
  EXPECT_EQ(pinger().targets.at(0).path.device, "wg0");
  EXPECT_EQ(pinger().targets.at(0).interval, std::chrono::seconds(2));
  pinger().answer(0, 10);
  pinger().lose(0);
  EXPECT_THAT(gather(),
              testing::StartsWith("ping,url=10.0.0.1,device=wg0,public_key=" + key_text(1) +
                                  ",friendly_name=laptop,site=berlin "
                                  "packets_transmitted=2 "));
  const auto& row = peers_.peers.row(0);
  EXPECT_TRUE(row.pinged);
  EXPECT_EQ(row.pinged_bytes, 2u * (32 + 96));  // 20 + 8 + 56 bytes, padded to 96
  EXPECT_FLOAT_EQ(row.tunnel_rtt_ms, 10);
  EXPECT_FALSE(peers_.peers.row(1).pinged);
  sample();
  EXPECT_EQ(peers_.peers.row(0).pinged_bytes, 0u);
  EXPECT_FLOAT_EQ(peers_.peers.row(0).tunnel_rtt_ms, 10);  // until the next is known
}

TEST_F(PingTest, ALostProbeToNoEndpointNeverLeft) {
  begin("ping_peers = true\n");
  peers_.add_device("wg0", 7);
  add_peer(1);
  peers_.devices.peers[0].endpoint = {};
  sample();
  pinger().lose(0);
  EXPECT_THAT(gather(), AllOf(HasSubstr("packets_transmitted=0"), HasSubstr("packets_unsent=1"),
                              HasSubstr("result_code=2")));
  EXPECT_EQ(peers_.peers.row(0).pinged_bytes, 0u);
}

TEST_F(PingTest, FollowsPeersAsTheyComeAndGo) {
  begin("ping_peers = true\n");
  peers_.add_device("wg0", 7);
  add_peer(1);
  sample();
  add_peer(2);
  sample();
  EXPECT_EQ(address(0), "10.0.0.1");
  EXPECT_EQ(address(1), "10.0.0.2");
  peers_.devices.prefixes[1].address[3] = 22;  // moved
  sample();
  EXPECT_EQ(address(1), "10.0.0.22");
  peers_.devices.peers.erase(peers_.devices.peers.begin());
  --peers_.devices.devices[0].peer_count;
  sample();
  ASSERT_THAT(pinger().targets, SizeIs(1));
  EXPECT_EQ(address(1), "10.0.0.22");
  peers_.devices.clear();
  sample();
  EXPECT_THAT(pinger().targets, IsEmpty());
}

TEST_F(PingTest, APeerInTheSlotOfAnotherHasItsOwnWindow) {
  begin("ping_peers = true\n");
  peers_.add_device("wg0", 7);
  add_peer(1);
  sample();
  pinger().lose(0);
  sample();
  peers_.devices.peers[0].key = key(3);
  sample();
  ASSERT_THAT(pinger().targets, SizeIs(1));
  pinger().answer(pinger().targets.begin()->first, 5);
  EXPECT_THAT(gather(), AllOf(HasSubstr(key_text(3)), HasSubstr("packets_transmitted=1 "),
                              HasSubstr("percent_packet_loss=0 ")));
}

TEST_F(PingTest, LeavesSleepersAndTheExcludedAlone) {
  begin("ping_peers = true\nping_peer_exclude = [\"/^guest/\"]\n");
  peers_.add_device("wg0", 7);
  for (const std::uint32_t number : {1u, 2u, 3u, 4u}) add_peer(number);
  peers_.peers.set_names({{key_text(1), {"phone", {}, "sometimes"}},
                          {key_text(2), {"guest-2", {}, ""}},
                          {key_text(3), {"tablet", {{"expect", "sometimes"}}, ""}},
                          {key_text(4), {"server", {{"expect", "sometimes"}}, "always"}}});
  sample();
  ASSERT_THAT(pinger().targets, SizeIs(1));
  EXPECT_EQ(address(0), "10.0.0.4");
  // Names may change while it runs.
  peers_.peers.set_names({{key_text(4), {"guest-4", {}, ""}}});
  sample();
  std::vector<std::string> now;
  for (const auto& [id, target] : pinger().targets) now.push_back(address(id));
  EXPECT_THAT(now, testing::UnorderedElementsAre("10.0.0.1", "10.0.0.2", "10.0.0.3"));
}

TEST_F(PingTest, AConfiguredTunnelAddressGoesBeforeTheAllowedOnes) {
  begin("ping_peers = true\n[inputs.wgvitals.ping_peer_addresses]\n\"" + key_text(1) +
        "\" = \"fd00::1\"\n");
  peers_.add_device("wg0", 7);
  add_peer(1, 24);
  sample();
  ASSERT_THAT(pinger().targets, SizeIs(1));
  EXPECT_EQ(address(0), "fd00::1");
  EXPECT_EQ(pinger().targets.at(0).path.family, AddressFamily::ipv6);
}

TEST_F(PingTest, EngineFailuresAreTold) {
  begin("[[inputs.wgvitals.ping]]\nhost = \"192.0.2.1\"\n");
  pinger().failed.push_back({Errc::denied, EPERM, "needs CAP_NET_RAW"});
  sample();
  EXPECT_THAT(report_.texts, ElementsAre(HasSubstr("CAP_NET_RAW")));
}

}  // namespace
}  // namespace wgvitals::collect
