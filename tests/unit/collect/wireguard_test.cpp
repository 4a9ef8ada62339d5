#include <gmock/gmock.h>
#include <net/if.h>

#include "tests/support/gathering.h"
#include "tests/support/kept_report.h"
#include "tests/support/keys.h"
#include "tests/support/said.h"
#include "tests/support/temp_root.h"
#include "tests/support/uapi_server.h"

namespace wgvitals::collect {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;
using test::key;
using test::key_text;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

constexpr std::int64_t second = 1'000'000'000;
constexpr std::int64_t now_s = 1795210380;  // when a Gathering begins

// Events alone: "peer_added okay device=wg0 public_key=...: message (from -> to)".
class EventSink final : public Sink {
 public:
  void begin(const Now&) override {}
  void take(const Record&) override {}
  void take(const Event& event) override {
    std::string line(event.event.view());
    line += event.severity == Severity::okay      ? " okay"
            : event.severity == Severity::warning ? " warning"
                                                  : " failure";
    for (const auto& label : event.labels) {
      ((line += ' ') += label.name->tag.view()) += '=';
      line += label.value;
    }
    (line += ": ") += event.message;
    ((((line += " (") += event.from) += " -> ") += event.to) += ')';
    lines.push_back(line);
  }
  std::vector<std::string> lines;
};

class WireGuardCollectorTest : public testing::Test {
 protected:
  void begin(const std::string& toml = {}, bool resident = true) {
    gathering_ = std::make_unique<test::Gathering>(toml, resident);
  }
  test::Gathering& the() { return *gathering_; }

  // One device with one peer.
  SeenPeer& begin_with_peer(const std::string& toml = {}, bool resident = true) {
    begin(toml, resident);
    the().add_device("wg0", 7);
    return the().add_peer(key(1));
  }
  SeenPeer& peer() { return the().devices.peers[0]; }

  std::string gather() {
    test::Said said;
    the().gather(said);
    return said.text();
  }
  std::vector<std::string> events() {
    EventSink sink;
    the().gather(sink);
    return sink.lines;
  }
  // The value of a field of the only peer after a gather; empty where it is absent.
  std::string field(const std::string& name) {
    const auto text = gather();
    const auto start = text.find(' ' + name + '=', text.find("wireguard_peer"));
    if (start == std::string::npos) return {};
    const auto value = start + name.size() + 2;
    return text.substr(value, text.find_first_of(" \n", value) - value);
  }

  static Link link(std::uint32_t index, std::uint32_t flags) {
    Link link;
    link.index = index;
    link.flags = flags;
    return link;
  }
  static std::string peer_label(std::uint32_t number) { return "public_key=" + key_text(number); }

  std::unique_ptr<test::Gathering> gathering_;
};

TEST_F(WireGuardCollectorTest, TellsADeviceAndItsPeers) {
  begin();
  auto& device = the().add_device("wg0", 7);
  device.listen_port = 51820;
  device.fwmark = 81;
  device.link = link(7, IFF_UP);
  device.link->mtu = 1420;
  device.link->threaded = true;
  device.link->counters = LinkCounters{.rx_packets = 1,
                                       .tx_packets = 2,
                                       .rx_bytes = 3,
                                       .tx_bytes = 4,
                                       .rx_errors = 5,
                                       .tx_errors = 6,
                                       .rx_dropped = 7,
                                       .tx_dropped = 8,
                                       .rx_length_errors = 9,
                                       .rx_frame_errors = 10};
  auto& peer = the().add_peer(key(1));
  peer.endpoint = test::ipv4(1, 40001);
  peer.rx_bytes = 1000;
  peer.tx_bytes = 2000;
  peer.handshake_ns = (now_s - 5) * second;
  peer.has_handshake = true;
  peer.protocol_version = 1;
  peer.keepalive_s = 25;
  the().add_prefixes(2);
  EXPECT_EQ(gather(),
            "wireguard_device,name=wg0,type=linux_kernel listen_port=51820 firewall_mark=81\n"
            "wireguard_device,name=wg0,type=linux_kernel peers=1 mtu=1420 link_up=1 link_flaps=0 "
            "threaded=1 rx_bytes=3 tx_bytes=4 rx_packets=1 tx_packets=2 rx_errors=5 tx_errors=6 "
            "rx_dropped=7 "
            "tx_dropped=8 rx_frame_errors=10 rx_length_errors=9\n"
            "wireguard_peer,device=wg0," +
                peer_label(1) +
                " persistent_keepalive_interval_ns=25000000000 protocol_version=1 allowed_ips=2 "
                "endpoint=\"192.0.2.1:40001\" allowed_peer_cidr=\"10.0.0.0/24,10.0.1.0/24\"\n"
                "wireguard_peer,device=wg0," +
                peer_label(1) +
                " last_handshake_time_ns=1795210375000000000 rx_bytes=1000 tx_bytes=2000 "
                "handshake_age_s=5 handshakes=0 endpoint_changes=0 counter_resets=0\n");
}

TEST_F(WireGuardCollectorTest, WritesTelegrafsZerosAndLeavesTheRestOut) {
  begin();
  auto& device = the().add_device("utun0", 0);
  device.userspace = true;
  device.netns = "blue";
  the().add_peer(key(1));
  EXPECT_EQ(gather(),
            "wireguard_device,name=utun0,netns=blue,type=userspace listen_port=0 firewall_mark=0\n"
            "wireguard_device,name=utun0,netns=blue,type=userspace peers=1\n"
            "wireguard_peer,device=utun0,netns=blue," +
                peer_label(1) +
                " persistent_keepalive_interval_ns=0 protocol_version=0 allowed_ips=0\n"
                "wireguard_peer,device=utun0,netns=blue," +
                peer_label(1) +
                " rx_bytes=0 tx_bytes=0 handshakes=0 endpoint_changes=0 counter_resets=0\n");
}

TEST_F(WireGuardCollectorTest, LeavesOutOfAOneShotRunWhatIsCountedSinceStart) {
  begin_with_peer({}, false);
  the().devices.devices[0].link = link(7, IFF_UP);
  const auto text = gather();
  EXPECT_THAT(text, HasSubstr(" rx_bytes=0 tx_bytes=0\n"));
  for (const char* name : {"handshakes=", "endpoint_changes=", "counter_resets=", "link_flaps="}) {
    EXPECT_THAT(text, Not(HasSubstr(name)));
  }
}

TEST_F(WireGuardCollectorTest, WritesNeverAsConfigured) {
  struct Case {
    const char* option;
    const char* value;
  };
  for (const auto& [option, value] :
       {Case{"omit", ""}, Case{"zero", "0"}, Case{"telegraf", "-6795364578871345152"}}) {
    begin_with_peer("handshake_never = \"" + std::string(option) + "\"");
    EXPECT_EQ(field("last_handshake_time_ns"), value);
    EXPECT_EQ(field("handshake_age_s"), "");
  }
}

TEST_F(WireGuardCollectorTest, LeavesOutTheListOfAllowedIpsWholeWhereItIsTooLong) {
  struct Case {
    int limit;
    std::uint32_t count;
    const char* shown;
  };
  for (const auto& [limit, count, shown] :
       {Case{2, 1, "\"10.0.0.0/24\""}, Case{2, 2, "\"10.0.0.0/24,10.0.1.0/24\""}, Case{2, 3, ""},
        Case{0, 1, ""}, Case{0, 0, ""}}) {
    begin_with_peer("allowed_ips_field_max = " + std::to_string(limit));
    the().add_prefixes(count);
    EXPECT_EQ(field("allowed_peer_cidr"), shown);
    EXPECT_EQ(field("allowed_ips"), std::to_string(count));
  }
}

TEST_F(WireGuardCollectorTest, HasRoomForTheLongestListThatMayBeAsked) {
  begin_with_peer("allowed_ips_field_max = 1024");
  for (int i = 0; i < 1024; ++i) {
    Prefix prefix;
    prefix.family = AddressFamily::ipv6;
    prefix.address.fill(0xfe);
    prefix.length = 128;
    the().devices.prefixes.push_back(prefix);
  }
  peer().prefix_count = 1024;
  EXPECT_EQ(field("allowed_peer_cidr").size(), 2 + 1024 * (39 + 4) + 1023);
}

TEST_F(WireGuardCollectorTest, CountsHandshakesSinceItsStart) {
  begin_with_peer().has_handshake = true;
  peer().handshake_ns = (now_s - 60) * second;
  EXPECT_EQ(field("handshakes"), "0");  // before the start
  EXPECT_EQ(field("handshakes"), "0");
  peer().handshake_ns += 120 * second;
  EXPECT_EQ(field("handshakes"), "1");
  EXPECT_EQ(field("handshakes"), "1");
  peer().handshake_ns += 1;
  EXPECT_EQ(field("handshakes"), "2");
}

TEST_F(WireGuardCollectorTest, CountsAPeersFirstHandshake) {
  begin_with_peer();
  EXPECT_EQ(field("handshakes"), "0");
  peer().has_handshake = true;
  peer().handshake_ns = now_s * second;
  EXPECT_EQ(field("handshakes"), "1");
}

TEST_F(WireGuardCollectorTest, TurnsAgesIntoTimesAndCountsOnlyClearSteps) {
  begin_with_peer().has_handshake = true;
  the().devices.devices[0].handshakes_are_ages = true;
  peer().handshake_ns = 10 * second;
  EXPECT_EQ(field("last_handshake_time_ns"), std::to_string((now_s - 10) * second));
  // The age is read a little earlier or later than the clock.
  the().pass(seconds(10));
  peer().handshake_ns = 19 * second;
  EXPECT_EQ(field("handshakes"), "0");
  EXPECT_EQ(field("handshake_age_s"), "19");
  the().pass(seconds(10));
  peer().handshake_ns = 30 * second;
  EXPECT_EQ(field("handshakes"), "0");
  the().pass(seconds(100));
  peer().handshake_ns = 2 * second;
  EXPECT_EQ(field("handshakes"), "1");
}

TEST_F(WireGuardCollectorTest, TakesNoJumpOfTheWallClockForAHandshake) {
  for (const auto jump : {hours(1), hours(-1)}) {
    begin_with_peer().has_handshake = true;
    the().devices.devices[0].handshakes_are_ages = true;
    peer().handshake_ns = 10 * second;
    (void)gather();
    the().pass(seconds(10));
    the().now.wall += jump;
    peer().handshake_ns = 20 * second;
    EXPECT_EQ(field("handshakes"), "0");
    EXPECT_EQ(field("handshake_age_s"), "20");
    EXPECT_EQ(field("counter_resets"), "0");
  }
}

TEST_F(WireGuardCollectorTest, TellsNoAgeWhereTheClockWasWoundBack) {
  begin_with_peer().has_handshake = true;
  peer().handshake_ns = (now_s + 60) * second;
  EXPECT_EQ(field("handshake_age_s"), "");
  EXPECT_EQ(field("last_handshake_time_ns"), std::to_string((now_s + 60) * second));
}

TEST_F(WireGuardCollectorTest, CountsCountersThatBeganAnew) {
  struct Case {
    const char* what;
    std::uint64_t rx, tx;
    bool handshake;
    const char* resets;
    std::uint64_t gained;
  };
  for (const auto& [what, rx, tx, handshake, resets, gained] :
       {Case{"grown", 150, 250, true, "0", 100}, Case{"the same", 100, 200, true, "0", 0},
        Case{"less received", 99, 900, true, "1", 0}, Case{"less sent", 900, 199, true, "1", 0},
        Case{"handshake forgotten", 100, 200, false, "1", 0}}) {
    begin_with_peer();
    peer().rx_bytes = 100;
    peer().tx_bytes = 200;
    peer().has_handshake = true;
    peer().handshake_ns = now_s * second;
    EXPECT_EQ(field("counter_resets"), "0") << what;
    peer().rx_bytes = rx;
    peer().tx_bytes = tx;
    peer().has_handshake = handshake;
    if (!handshake) peer().handshake_ns = 0;
    EXPECT_EQ(field("counter_resets"), resets) << what;
    const auto& row = the().peers.row(0);
    EXPECT_EQ(row.rx_gained + row.tx_gained, gained) << what;
    EXPECT_EQ(field("rx_bytes"), std::to_string(rx)) << what;  // raw
  }
}

TEST_F(WireGuardCollectorTest, CountsAndTellsChangesOfTheEndpoint) {
  begin_with_peer();
  EXPECT_EQ(field("endpoint_changes"), "0");
  peer().endpoint = test::ipv4(1, 1000);
  EXPECT_THAT(events(), IsEmpty());  // it became known
  peer().endpoint = test::ipv4(2, 1000);
  EXPECT_THAT(events(), ElementsAre("endpoint okay device=wg0 " + peer_label(1) +
                                    ": the peer's endpoint changed "
                                    "(192.0.2.1:1000 -> 192.0.2.2:1000)"));
  peer().endpoint = test::ipv4(2, 1001);
  EXPECT_EQ(field("endpoint_changes"), "2");
  peer().endpoint = {};
  EXPECT_EQ(field("endpoint_changes"), "2");
}

TEST_F(WireGuardCollectorTest, TellsNoEventAtTheStart) {
  begin_with_peer().endpoint = test::ipv4(1, 1000);
  the().devices.devices[0].link = link(7, 0);
  EXPECT_THAT(events(), IsEmpty());
  EXPECT_THAT(events(), IsEmpty());
}

TEST_F(WireGuardCollectorTest, TellsPeersThatComeAndGo) {
  begin_with_peer();
  (void)gather();
  the().add_peer(key(2)).has_handshake = true;
  the().devices.peers.back().handshake_ns = now_s * second;
  EXPECT_THAT(events(), ElementsAre("peer_added okay device=wg0 " + peer_label(2) +
                                    ": the peer was configured ( -> )"));
  EXPECT_EQ(the().peers.row(1).handshakes, 1u);  // it was not there before
  the().devices.peers.erase(the().devices.peers.begin());
  the().devices.devices[0].peer_count = 1;
  EXPECT_THAT(events(), ElementsAre("peer_removed warning device=wg0 " + peer_label(1) +
                                    ": the peer is no longer configured ( -> )"));
  EXPECT_THAT(gather(), Not(HasSubstr(peer_label(1))));
}

TEST_F(WireGuardCollectorTest, BeginsAnewWithAPeerThatComesBack) {
  begin_with_peer().rx_bytes = 1000;
  (void)gather();
  const auto kept = the().devices;
  the().devices.peers.clear();
  the().devices.devices[0].peer_count = 0;
  (void)gather();
  the().devices = kept;
  the().devices.peers[0].rx_bytes = 10;
  EXPECT_EQ(field("counter_resets"), "0");
}

TEST_F(WireGuardCollectorTest, TellsALinkThatIsSetDownAndUp) {
  begin_with_peer();
  auto& device = the().devices.devices[0];
  device.link = link(7, IFF_UP);
  (void)gather();
  device.link->flags = 0;
  EXPECT_THAT(events(),
              ElementsAre("link failure device=wg0: the link was set up or down (up -> down)"));
  device.link->flags = IFF_UP;
  EXPECT_THAT(events(),
              ElementsAre("link okay device=wg0: the link was set up or down (down -> up)"));
  EXPECT_THAT(gather(), HasSubstr("link_up=1 link_flaps=2"));
}

TEST_F(WireGuardCollectorTest, TellsADeviceThatIsGone) {
  begin_with_peer();
  (void)gather();
  the().devices.clear();
  EXPECT_THAT(events(),
              ElementsAre("link failure device=wg0: the device is gone (present -> gone)"));
  EXPECT_THAT(events(), IsEmpty());
  EXPECT_EQ(the().peers.size(), 0u);
}

TEST_F(WireGuardCollectorTest, TellsADeviceThatIsBack) {
  begin_with_peer();
  the().devices.devices[0].link = link(7, IFF_UP);
  (void)gather();
  const auto devices = the().devices;
  the().devices.clear();
  (void)gather();
  the().devices = devices;
  the().devices.devices[0].identity.index = 8;
  the().devices.devices[0].link = link(8, IFF_UP);
  EXPECT_THAT(events(), ElementsAre("link okay device=wg0: the device is back (gone -> present)"));
  EXPECT_THAT(events(), IsEmpty());
}

TEST_F(WireGuardCollectorTest, TellsADeviceThatWasMadeAnewAsSuch) {
  begin_with_peer();
  the().devices.devices[0].link = link(7, IFF_UP);
  peer().rx_bytes = 1000;
  (void)gather();
  the().devices.devices[0].identity.index = 8;
  the().devices.devices[0].link = link(8, IFF_UP);
  peer().rx_bytes = 10;
  EXPECT_THAT(
      events(),
      ElementsAre("link warning device=wg0: the device was made anew (index 7 -> index 8)"));
  EXPECT_EQ(the().peers.size(), 1u);
  EXPECT_THAT(gather(), HasSubstr("link_flaps=1"));
  EXPECT_EQ(field("counter_resets"), "0");  // another peer of another device
}

TEST_F(WireGuardCollectorTest, KeepsTheDevicesOfTwoNamespacesApart) {
  begin_with_peer();
  the().devices.devices[0].link = link(7, IFF_UP);
  auto& other = the().add_device("wg0", 7);
  other.identity.place = 4099;
  other.netns = "blue";
  other.link = link(7, 0);
  the().add_peer(key(1)).rx_bytes = 5;
  EXPECT_THAT(events(), IsEmpty());
  EXPECT_THAT(events(), IsEmpty());
  const auto text = gather();
  EXPECT_THAT(text, HasSubstr("wireguard_peer,device=wg0," + peer_label(1) + " rx_bytes=0 "));
  EXPECT_THAT(text,
              HasSubstr("wireguard_peer,device=wg0,netns=blue," + peer_label(1) + " rx_bytes=5 "));
  EXPECT_EQ(the().peers.size(), 2u);
}

TEST_F(WireGuardCollectorTest, KeepsWhatCouldNotBeReadButTellsNothingOfIt) {
  begin_with_peer().rx_bytes = 100;
  peer().has_handshake = true;
  peer().handshake_ns = now_s * second;
  (void)gather();
  const auto seen = the().devices;
  the().devices.clear();
  the().devices.unread.push_back(seen.devices[0].identity);
  EXPECT_EQ(gather(), "");
  the().devices = seen;
  peer().rx_bytes = 90;
  peer().handshake_ns += second;
  EXPECT_THAT(events(), IsEmpty());
  EXPECT_EQ(field("counter_resets"), "1");
  EXPECT_EQ(field("handshakes"), "1");
}

TEST_F(WireGuardCollectorTest, KeepsADeviceThatWasRenamed) {
  begin_with_peer().rx_bytes = 100;
  (void)gather();
  the().devices.devices[0].name = "office";
  EXPECT_THAT(gather(), HasSubstr("wireguard_peer,device=office," + peer_label(1)));
  EXPECT_EQ(the().peers.size(), 1u);
}

// The entry's own reading.

TEST(WireGuardEntry, ReadsTheConfiguredFolderAndWaitsNoLongerThanTheHostMay) {
  test::TempRoot files;
  const test::UapiServer server(files.root().full_path("run/wg/utun0.sock"),
                                test::answers("listen_port=9\nerrno=0\n\n"));
  const test::UapiServer hung(files.root().full_path("run/wg/utun1.sock"), test::hangs());
  const test::UapiServer other(files.root().full_path("run/wg/other.sock"), test::hangs());
  test::TestServices services;
  services.root = files.root();
  services.services.patience = milliseconds(2000);
  const auto collector = wireguard.make(
      services.services,
      test::settings("uapi_dir = \"/run/wg\"\nuapi_timeout = \"60s\"\n"
                     "interface_include = [\"/^utun/\"]\ninterface_exclude = [\"utun2\"]"));
  Devices devices;
  test::KeptReport report;
  const auto start = std::chrono::steady_clock::now();
  collector->read(devices, report);
  EXPECT_LT(std::chrono::steady_clock::now() - start, seconds(10));
  ASSERT_EQ(devices.devices.size(), 1u);
  EXPECT_EQ(devices.devices[0].name, "utun0");
  EXPECT_THAT(report.texts,
              ElementsAre(HasSubstr("utun1: its process does not answer: is it hung?")));
  EXPECT_EQ(other.asked(), 0);
}

// The pair of RFC 7748 section 6.1.
TEST(WireGuardEntry, MakesADevicesPrivateKeyPublicOnlyForProbesAndTheTap) {
  test::TempRoot files;
  const test::UapiServer server(
      files.root().full_path("run/wg/utun0.sock"),
      test::answers("private_key=77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a\n"
                    "errno=0\n\n"));
  test::TestServices services;
  services.root = files.root();
  services.services.patience = seconds(5);
  const auto key_with = [&](const std::string& more) {
    const auto collector =
        wireguard.make(services.services, test::settings("uapi_dir = \"/run/wg\"\n"
                                                         "interface_include = [\"utun0\"]\n" +
                                                         more));
    Devices devices;
    test::KeptReport report;
    collector->read(devices, report);
    return devices.devices.at(0).key;
  };
  EXPECT_EQ(key_with(""), std::nullopt);
  for (const auto* asks :
       {"[[inputs.wgvitals.probe]]\nserver = \"127.0.0.1:9\"\n", "trace = true\n"}) {
    EXPECT_EQ(key_with(asks),
              key_from_hex("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"));
  }
}

TEST(WireGuardEntry, KnowsCollectdsWayOfListing) {
  struct Case {
    const char* options;
    const char* names;
  };
  for (const auto& [options, names] :
       {Case{"interface = [\"utun0\"]", "utun0 "},
        Case{"interface = [\"utun0\"]\nignore_selected = true", "utun1 "}}) {
    test::TempRoot files;
    const test::UapiServer one(files.root().full_path("run/wg/utun0.sock"),
                               test::answers("errno=0\n\n"));
    const test::UapiServer two(files.root().full_path("run/wg/utun1.sock"),
                               test::answers("errno=0\n\n"));
    test::TestServices services;
    services.root = files.root();
    services.services.patience = seconds(5);
    const auto collector = wireguard.make(
        services.services, test::settings("uapi_dir = \"/run/wg\"\n" + std::string(options)));
    Devices devices;
    test::KeptReport report;
    collector->read(devices, report);
    std::string seen;
    for (const auto& device : devices.devices) {
      if (device.userspace) seen += device.name + ' ';
    }
    EXPECT_EQ(seen, names);
  }
}

}  // namespace
}  // namespace wgvitals::collect
