#include <gmock/gmock.h>

#include <thread>

#include "tests/support/gathering.h"
#include "tests/support/kept_report.h"
#include "tests/support/said.h"

namespace wgvitals::collect {
extern const Entry hops;

namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class HopsTest : public testing::Test {
 protected:
  void TearDown() override {
    services_.loop.stop();
    services_.resolver.stop();
  }
  void begin(const std::string& toml) {
    settings_ = test::settings(toml);
    collector_ = hops.make(services_.services, *settings_);
  }
  // The passes up to the emission, once every host's first run is over.
  std::string gather() {
    sample();
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!collector_->unsettled().empty() && std::chrono::steady_clock::now() < end) {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    sample();
    test::Said said;
    collector_->emit(now_, devices_, peers_, said);
    return said.text();
  }
  void sample() {
    report_ = {};
    collector_->read(devices_, report_);
    collector_->advance(now_, devices_, peers_, events_);
  }

  test::TestServices services_;
  std::optional<config::Settings> settings_;
  std::unique_ptr<Collector> collector_;
  Devices devices_;
  Peers peers_;
  Events events_;
  Now now_{std::chrono::steady_clock::now(), std::chrono::system_clock::now()};
  test::KeptReport report_;
};

// On loopback; needs CAP_NET_RAW as all live probing does.
TEST_F(HopsTest, TellsEachHop) {
  begin("[[inputs.wgvitals.hops]]\nhost = [\"127.0.0.1\"]\nrounds = 2\ntimeout = \"2s\"\n");
  const auto said = gather();
  EXPECT_THAT(said, HasSubstr("wireguard_hop,url=127.0.0.1,hop=1 packets_transmitted=2 "
                              "packets_received=2 percent_packet_loss=0 average_response_ms="));
  EXPECT_THAT(said, HasSubstr("wireguard_hop,url=127.0.0.1,hop=1 address=\"127.0.0.1\"\n"));
  EXPECT_THAT(report_.texts, IsEmpty());
}

TEST_F(HopsTest, TakesThirtyTwoHostsAndSaysWhyNoMore) {
  begin(
      "[[inputs.wgvitals.hops]]\ndevice = \"no-such\"\nhost = [\"127.0.0.1\"]\n"
      "[[inputs.wgvitals.hops]]\ndevice = \"no-such\"\nhost = [" +
      [] {
        std::string hosts;
        for (int i = 2; i <= 33; ++i) hosts += "\"127.0.0." + std::to_string(i) + "\",";
        return hosts;
      }() +
      "]\n");
  EXPECT_EQ(gather(), "");
  ASSERT_EQ(report_.texts.size(), 33u);
  EXPECT_EQ(report_.texts[0],
            "line 5: '127.0.0.33': left out, as all behind it: at most 32 hosts, for their probes "
            "meet at "
            "the same routers, which limit how often they answer");
  EXPECT_THAT(report_.texts[1], HasSubstr("'127.0.0.1': ICMP: device no-such"));
}

TEST_F(HopsTest, TakesAHostOnce) {
  begin(
      "[[inputs.wgvitals.hops]]\nhost = [\"127.0.0.1\"]\nrounds = 1\n"
      "[[inputs.wgvitals.hops]]\nhost = [\"127.0.0.1\"]\ndevice = \"lo\"\nrounds = 1\n");
  const auto said = gather();
  const std::string line = "wireguard_hop,url=127.0.0.1,hop=1 packets_transmitted=";
  EXPECT_NE(said.find(line), std::string::npos);
  EXPECT_EQ(said.find(line), said.rfind(line));
  EXPECT_THAT(report_.texts,
              ElementsAre("line 5: host '127.0.0.1' is there already; the second is passed over"));
}

TEST_F(HopsTest, SaysWhatIsNoAddress) {
  begin("[[inputs.wgvitals.hops]]\nsource_address = \"here\"\nhost = [\"127.0.0.1\"]\n");
  EXPECT_EQ(gather(), "");
  EXPECT_THAT(report_.texts, ElementsAre(HasSubstr("'here' is no address")));
}

}  // namespace
}  // namespace wgvitals::collect
