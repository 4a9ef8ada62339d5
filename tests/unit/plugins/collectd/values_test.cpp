#include "plugins/collectd/values.h"

#include <gmock/gmock.h>
#include <net/if.h>

#include <limits>
#include <set>

#include "common/collect/engine.h"
#include "tests/support/collectd_daemon.h"
#include "tests/support/families.h"
#include "tests/support/gathering.h"
#include "tests/support/kept_log.h"
#include "tests/support/keys.h"
#include "tests/support/temp_root.h"
#include "tests/support/uapi_server.h"

namespace wgvitals::collectd {
namespace {

using test::CollectdDaemon;
using test::key;
using test::key_text;
using test::to_lines;
using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;
using testing::UnorderedElementsAre;

constexpr std::int64_t second = 1'000'000'000;

std::string safe(std::uint32_t number) {
  const auto text = to_url_safe(key_text(number));
  return std::string(view(text));
}

class ValuesTest : public testing::Test {
 protected:
  void TearDown() override { EXPECT_EQ(daemon_.live_metas, 0); }

  CollectdDaemon& daemon_ = CollectdDaemon::start();
  Values values_{PeerInstance::name};
  test::Gathering gathering_;
};

TEST_F(ValuesTest, NamesADevicesValuesAsDocumented) {
  auto& device = gathering_.add_device("wg0", 7);
  device.listen_port = 51820;
  device.fwmark = 81;
  device.link.emplace();
  device.link->flags = IFF_UP;
  device.link->mtu = 1420;
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
  gathering_.gather(values_);
  const auto lists = daemon_.take_values();
  EXPECT_THAT(
      to_lines(lists),
      UnorderedElementsAre(
          "wireguard-wg0/if_octets 3:4", "wireguard-wg0/if_packets 1:2",
          "wireguard-wg0/if_errors 5:6", "wireguard-wg0/if_dropped 7:8",
          "wireguard-wg0/count-peers 0", "wireguard-wg0/gauge-mtu 1420",
          "wireguard-wg0/bool-link_up 1", "wireguard-wg0/derive-link_flaps 0",
          "wireguard-wg0/derive-rx_frame_errors 10", "wireguard-wg0/derive-rx_length_errors 9",
          "wireguard-wg0/gauge-listen_port 51820", "wireguard-wg0/gauge-firewall_mark 81"));
  for (const auto& list : lists) {
    EXPECT_EQ(list.time, 1795210380.0) << list.identifier;
    EXPECT_THAT(list.meta, IsEmpty()) << list.identifier;
  }
}

TEST_F(ValuesTest, NamesAPeersValuesAsDocumented) {
  gathering_.peers.set_names({{key_text(1), {"laptop", {{"site", "berlin"}}}}});
  gathering_.add_device("wg0", 7);
  auto& peer = gathering_.add_peer(key(1));
  peer.rx_bytes = 1000;
  peer.tx_bytes = 2000;
  peer.has_handshake = true;
  peer.handshake_ns = 1795210370 * second;
  peer.keepalive_s = 25;
  peer.protocol_version = 1;
  gathering_.add_prefixes(2);
  gathering_.gather(values_);
  const auto lists = daemon_.take_values();
  const auto lines = to_lines(lists);
  for (const char* line :
       {"wireguard-wg0/if_octets-laptop 1000:2000", "wireguard-wg0/duration-laptop 10",
        "wireguard-wg0/time_ref-laptop 1795210370", "wireguard-wg0/derive-handshakes-laptop 0",
        "wireguard-wg0/derive-endpoint_changes-laptop 0",
        "wireguard-wg0/derive-counter_resets-laptop 0",
        "wireguard-wg0/gauge-persistent_keepalive_interval_ns-laptop 25000000000",
        "wireguard-wg0/gauge-protocol_version-laptop 1",
        "wireguard-wg0/gauge-allowed_ips-laptop 2"}) {
    EXPECT_THAT(lines, Contains(line));
  }
  EXPECT_EQ(lines.size(), 9u + 3u);  // and the device's
  for (const auto& list : lists) {
    if (list.identifier.find("laptop") == std::string::npos) continue;
    EXPECT_THAT(list.meta, UnorderedElementsAre(Pair("wireguard:device", "wg0"),
                                                Pair("wireguard:public_key", key_text(1)),
                                                Pair("wireguard:friendly_name", "laptop"),
                                                Pair("wireguard:site", "berlin")));
  }
}

TEST_F(ValuesTest, NamesPeersAsConfigured) {
  struct Case {
    const char* option;
    std::string named, nameless;
  };
  for (const auto& [option, named, nameless] :
       {Case{"name", "laptop", safe(2)}, Case{"safe", safe(1), safe(2)},
        Case{"raw", key_text(1), key_text(2)}, Case{"anything else", "laptop", safe(2)}}) {
    test::Gathering gathering;
    gathering.peers.set_names({{key_text(1), {"laptop", {}}}});
    gathering.add_device("wg0", 7);
    gathering.add_peer(key(1));
    gathering.add_peer(key(2));
    Values values(to_peer_instance(option));
    gathering.gather(values);
    EXPECT_THAT(to_lines(daemon_.take_values()),
                AllOf(Contains("wireguard-wg0/if_octets-" + named + " 0:0"),
                      Contains("wireguard-wg0/if_octets-" + nameless + " 0:0")));
  }
}

TEST_F(ValuesTest, MakesANamespacePartOfTheDevice) {
  gathering_.add_device("wg0", 7).netns = "blue";
  gathering_.gather(values_);
  EXPECT_THAT(to_lines(daemon_.take_values()), Contains("wireguard-wg0@blue/count-peers 0"));
}

TEST_F(ValuesTest, DispatchesNoListThatIsNotComplete) {
  static constexpr Metric rx{"rx", Type::u64, Kind::counter, Unit::none, "", {"if_octets", "x", 0}};
  static constexpr Metric tx{"tx", Type::u64, Kind::counter, Unit::none, "", {"if_octets", "x", 1}};
  static constexpr Metric words{"words", Type::text, Kind::gauge, Unit::none, ""};
  static constexpr const Metric* metrics[] = {&words, &rx, &tx};
  static constexpr const LabelName* labels[] = {&device_label};
  static constexpr Place places[] = {{"wireguard", &device_label}};
  constexpr Family family{"wireguard_thing", "", metrics, labels, places};
  const Label label[] = {{&device_label, "wg0"}};

  const Reading only_rx[] = {{&rx, Value(1u)}};
  const Reading only_tx[] = {{&tx, Value(2u)}};
  const Reading turned[] = {{&tx, Value(2u)}, {&words, Value("no form")}, {&rx, Value(1u)}};
  values_.begin(gathering_.now);
  values_.take(Record{family, label, only_rx});
  values_.take(Record{family, label, only_tx});
  EXPECT_THAT(daemon_.take_values(), IsEmpty());
  values_.take(Record{family, label, turned});
  EXPECT_THAT(to_lines(daemon_.take_values()), ElementsAre("wireguard-wg0/if_octets-x 1:2"));
  // Nor one whose place is unknown.
  values_.take(Record{family, {}, turned});
  EXPECT_THAT(daemon_.take_values(), IsEmpty());
}

TEST_F(ValuesTest, PutsOtherLabelsButAllIntoTheInstance) {
  static constexpr LabelName cpu{"cpu"};
  static constexpr LabelName result{"result", "", false};
  static constexpr Metric load{"load", Type::f64, Kind::gauge, Unit::none, ""};
  static constexpr Metric time{"time_ns",  Type::u64, Kind::counter,
                               Unit::none, "",        {"duration", ""}};
  static constexpr const Metric* metrics[] = {&load, &time};
  static constexpr const LabelName* labels[] = {&device_label, &cpu, &result};
  static constexpr Place places[] = {{"wireguard", &device_label}, {"host"}};
  constexpr Family family{"wireguard_thing", "", metrics, labels, places};
  const Reading reading[] = {{&load, Value(0.5)}};
  struct Case {
    const char *device, *cpu, *identifier;
  };
  for (const auto& [device, which, identifier] :
       {Case{"wg0", "cpu1", "wireguard-wg0/gauge-load-cpu1 0.5"},
        Case{"wg0", "all", "wireguard-wg0/gauge-load 0.5"},
        Case{"", "cpu1", "host/gauge-load-cpu1 0.5"}, Case{"", "", "host/gauge-load 0.5"}}) {
    const Label label[] = {{&device_label, device}, {&cpu, which}, {&result, "ok"}};
    values_.take(Record{family, label, reading});
    EXPECT_THAT(to_lines(daemon_.take_values()), ElementsAre(identifier));
  }
}

// Nanoseconds become collectd's milliseconds, counters as they are.
TEST_F(ValuesTest, ScalesACounter) {
  static constexpr Metric spent{"spent_ns",        Type::u64, Kind::counter,
                                Unit::nanoseconds, "Time",    {"total_time_in_ms", "all", 0, 1e-6}};
  static constexpr const Metric* metrics[] = {&spent};
  static constexpr const LabelName* names[] = {&device_label};
  static constexpr Place places[] = {{"wireguard", &device_label}};
  static constexpr Family family{"x", "X", metrics, names, places};
  Readings<1> reading;
  reading.add(spent, std::uint64_t{12'345'678'901});
  const Label label[] = {{&device_label, "wg0"}};
  values_.take(Record{family, label, reading});
  EXPECT_THAT(to_lines(daemon_.take_values()),
              ElementsAre("wireguard-wg0/total_time_in_ms-all 12345"));
}

TEST_F(ValuesTest, TellsItselfWithoutAPluginInstance) {
  test::TempRoot files;
  files.with("proc/self/statm", "1 1 1\n");
  collect::Engine engine(test::settings("interface_include = [\"none\"]\nuapi_dir = \"/none\""),
                         {.log = std::make_shared<test::KeptLog>(), .root = files.root()});
  engine.start();
  ASSERT_TRUE(engine.gather(values_, std::chrono::seconds(20)));
  EXPECT_THAT(to_lines(daemon_.take_values()),
              AllOf(Contains("wireguard/bool-success-wireguard 1"),
                    Contains("wireguard/derive-errors-wireguard 0"),
                    Contains("wireguard/derive-late-engine 0"),
                    Contains(testing::StartsWith("wireguard/gauge-memory_bytes-engine "))));
}

TEST_F(ValuesTest, GivesNoTwoValuesOfAWholeGatherTheSameIdentifier) {
  const std::string twin(140, 'n');
  test::TempRoot files;
  std::string answer = "listen_port=1\n";
  std::string names;
  for (std::size_t i = 0; i < 50; ++i) {
    std::string hex = std::to_string(100 + i);
    hex.resize(64, 'a');
    answer += "public_key=" + hex + "\nlast_handshake_time_sec=1795210370\n";
    const auto text = to_base64(*key_from_hex(hex));
    // Equal names, names that become equal, names that are too long.
    names += "\"" + std::string(view(text)) + "\" = \"" +
             (i % 3 == 0   ? std::string("laptop")
              : i % 3 == 1 ? "lap top" + std::string(i % 2, '.')
                           : twin + std::to_string(i)) +
             "\"\n";
  }
  answer += "errno=0\n\n";
  const test::UapiServer one(files.root().full_path("run/wg/utun0.sock"), test::answers(answer));
  const test::UapiServer two(files.root().full_path("run/wg/utun1.sock"), test::answers(answer));
  for (const char* how : {"name", "safe", "raw"}) {
    collect::Engine engine(
        test::settings("interface_include = [\"/^utun/\"]\nuapi_dir = \"/run/wg\"\n"
                       "gather_wait = \"60s\"\nuapi_timeout = \"20s\"\n"
                       "[inputs.wgvitals.names]\n" +
                       names),
        {.log = std::make_shared<test::KeptLog>(), .root = files.root()});
    engine.start();
    Values values(to_peer_instance(how));
    ASSERT_TRUE(engine.gather(values, std::chrono::seconds(30)));
    std::set<std::string> identifiers;
    for (const auto& list : daemon_.take_values()) {
      EXPECT_TRUE(identifiers.insert(list.identifier).second) << list.identifier;
      EXPECT_THAT(list.values,
                  testing::Not(testing::AnyOf("of no type in types.db", "too few or too many")))
          << list.identifier;
    }
    EXPECT_GT(identifiers.size(), 2u * 50u * 8u);
  }
}

TEST(ToPart, MarksWhatItCuts) {
  const std::string fitting(127, 'a');
  EXPECT_EQ(to_part(fitting), fitting);
  EXPECT_EQ(to_part(""), "");
  const auto one = to_part(std::string(127, 'a') + "1");
  const auto two = to_part(std::string(127, 'a') + "2");
  EXPECT_EQ(one.size(), 127u);
  EXPECT_EQ(one.substr(0, 121), std::string(120, 'a') + "~");
  EXPECT_NE(one, two);
  EXPECT_EQ(one, to_part(std::string(127, 'a') + "1"));
  std::string umlauts = "a";
  for (int i = 0; i < 100; ++i) umlauts += "\xc3\xbc";
  EXPECT_EQ(to_part(umlauts).size(), 126u);  // no half of one
}

TEST_F(ValuesTest, LeavesOutOfPeersNamesWhatTheDaemonOrCarbonTakesForMore) {
  gathering_.peers.set_names({{key_text(1), {"/a;b/c", {}}}});
  gathering_.add_device("wg0", 7);
  gathering_.add_peer(key(1));
  gathering_.gather(values_);
  EXPECT_THAT(to_lines(daemon_.take_values()), Contains("wireguard-wg0/if_octets-_a_b_c 0:0"));
}

TEST_F(ValuesTest, KeepsDevicesApartThatAreEscapedAlike) {
  const char* names[] = {"wg.1", "wg 1", "wg;1", "wg:1"};
  for (std::uint32_t n = 0; n < std::size(names); ++n) gathering_.add_device(names[n], 7 + n);
  gathering_.gather(values_);
  std::set<std::string> devices;
  for (const auto& list : daemon_.take_values()) {
    const auto device = list.identifier.substr(0, list.identifier.find('/'));
    if (device.starts_with("wireguard-wg")) devices.insert(device);
  }
  EXPECT_EQ(devices.size(), std::size(names));
  EXPECT_TRUE(devices.contains("wireguard-wg.1"));
  for (const auto& device : devices) EXPECT_EQ(device.find_first_of(" ;:"), device.npos) << device;
}

TEST_F(ValuesTest, CutsPartsThatAreTooLong) {
  gathering_.add_device(std::string(200, 'd'), 7);
  gathering_.gather(values_);
  const auto lists = daemon_.take_values();
  ASSERT_FALSE(lists.empty());
  EXPECT_EQ(lists[0].identifier.find('/'), std::string("wireguard-").size() + 127);
}

// Events.

TEST_F(ValuesTest, MakesEventsNotifications) {
  struct Case {
    Severity severity;
    int collectds;  // NOTIF_FAILURE, NOTIF_WARNING, NOTIF_OKAY
  };
  for (const auto& [severity, collectds] :
       {Case{Severity::failure, 1}, Case{Severity::warning, 2}, Case{Severity::okay, 4}}) {
    const auto key = key_text(1);
    const Label labels[] = {
        {&device_label, "wg0"}, {&public_key_label, key}, {&friendly_name_label, "laptop"}};
    values_.take(Event{"endpoint", severity, labels, "192.0.2.1:1", "192.0.2.2:1",
                       "the peer's endpoint changed"});
    const auto said = daemon_.take_notifications();
    ASSERT_EQ(said.size(), 1u);
    EXPECT_EQ(said[0].severity, collectds);
    EXPECT_EQ(said[0].identifier, "wireguard-wg0/gauge-endpoint-laptop");
    EXPECT_EQ(said[0].host, "test.example");
    EXPECT_EQ(said[0].message,
              "wg0 laptop: the peer's endpoint changed from 192.0.2.1:1 to 192.0.2.2:1");
    EXPECT_THAT(said[0].meta, UnorderedElementsAre(Pair("wireguard:device", "wg0"),
                                                   Pair("wireguard:public_key", key),
                                                   Pair("wireguard:friendly_name", "laptop")));
  }
}

// The three of the stock plugin, also its NaN.
TEST_F(ValuesTest, NamesAPlainHostsPingAsTheStockPluginDoes) {
  test::take({"ping",
              {{"url", "example.org"}},
              {{"percent_packet_loss", 25.0},
               {"average_response_ms", 12.5},
               {"standard_deviation_ms", 0.5},
               {"percentile95_ms", 13.0}}},
             values_);
  EXPECT_THAT(
      to_lines(daemon_.take_values()),
      ElementsAre("ping/latency-p95-example.org 13", "ping/ping-example.org 12.5",
                  "ping/ping_droprate-example.org 0.25", "ping/ping_stddev-example.org 0.5"));
  test::take({"ping", {{"url", "example.org"}}, {{"percent_packet_loss", 100.0}}}, values_);
  EXPECT_THAT(to_lines(daemon_.take_values()),
              ElementsAre("ping/ping-example.org nan", "ping/ping_droprate-example.org 1",
                          "ping/ping_stddev-example.org nan"));
}

TEST_F(ValuesTest, NamesAPeersPingWithoutItsAddressAndWithoutNaN) {
  test::take({"ping",
              {{"url", "10.0.0.2"},
               {"device", "wg0"},
               {"public_key", key_text(1)},
               {"friendly_name", "laptop"}},
              {{"percent_packet_loss", 100.0}}},
             values_);
  EXPECT_THAT(to_lines(daemon_.take_values()), ElementsAre("wireguard-wg0/ping_droprate-laptop 1"));
}

TEST_F(ValuesTest, NamesAProbesValuesByTheProbeAlone) {
  const auto tell = [&](std::string_view probe) {
    test::take({"wireguard_probe",
                {{"probe", probe}, {"server", "vpn.example:51820"}},
                {{"ok", 1}, {"outcome_code", 0}, {"handshake_rtt_ms", 2.5}, {"tunnel_sent", 3}}},
               values_);
    return to_lines(daemon_.take_values());
  };
  EXPECT_THAT(tell("berlin"), UnorderedElementsAre("wireguard-probe_berlin/bool-ok 1",
                                                   "wireguard-probe_berlin/gauge-outcome 0",
                                                   "wireguard-probe_berlin/ping 2.5",
                                                   "wireguard-probe_berlin/gauge-tunnel_sent 3"));
  EXPECT_THAT(tell("a/b"), testing::Each(testing::StartsWith("wireguard-probe_a_b~")));
}

TEST_F(ValuesTest, TellsAnEventOfADeviceWithoutAPeer) {
  const Label labels[] = {{&device_label, "wg0"}, {&netns_label, "blue"}};
  values_.take(Event{"link", Severity::failure, labels, "", "gone", "the device is gone"});
  const auto said = daemon_.take_notifications();
  ASSERT_EQ(said.size(), 1u);
  EXPECT_EQ(said[0].identifier, "wireguard-wg0@blue/gauge-link");
  EXPECT_EQ(said[0].message, "wg0@blue: the device is gone to gone");
}

TEST_F(ValuesTest, CutsAMessageThatIsTooLong) {
  const std::string long_text(1000, 'x');
  const Label labels[] = {{&device_label, "wg0"}};
  values_.take(Event{"link", Severity::okay, labels, "", "", long_text});
  const auto said = daemon_.take_notifications();
  ASSERT_EQ(said.size(), 1u);
  EXPECT_EQ(said[0].message.size(), 255u);
}

}  // namespace
}  // namespace wgvitals::collectd
