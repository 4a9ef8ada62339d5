// The catalogue against the contract of names, and the page that is made of it.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "common/collect/families.h"
#include "common/collect/names.h"
#include "common/output/prometheus.h"
#include "plugins/cli/commands.h"
#include "tests/support/families.h"
#include "tests/support/golden.h"

namespace wgvitals {
namespace {

using testing::ContainsRegex;
using testing::IsEmpty;
using testing::MatchesRegex;
using testing::UnorderedElementsAreArray;

// What `wgvitals catalogue` prints.
std::string catalogue(std::vector<std::string> arguments) {
  CLI::App app;
  const auto run = cli::add_catalogue(app);
  app.parse(std::move(arguments));
  testing::internal::CaptureStdout();
  EXPECT_EQ(run(), 0);
  return testing::internal::GetCapturedStdout();
}

std::string letter_of(Type type) {
  constexpr const char* letters[] = {"i", "u", "f", "b", "s"};
  return letters[static_cast<std::size_t>(type)];
}

std::string called(const Family& family, const Metric& metric) {
  return std::string(family.name.view()) + "." + std::string(metric.field.view());
}

// The contract. A name that is here stays, with its type; a new one is added here first.
const std::vector<std::string> contract = {
    "wireguard_device.listen_port i",
    "wireguard_device.firewall_mark i",
    "wireguard_device.peers i",
    "wireguard_device.mtu i",
    "wireguard_device.link_up i",
    "wireguard_device.link_flaps u",
    "wireguard_device.rx_bytes u",
    "wireguard_device.tx_bytes u",
    "wireguard_device.rx_packets u",
    "wireguard_device.tx_packets u",
    "wireguard_device.rx_errors u",
    "wireguard_device.tx_errors u",
    "wireguard_device.rx_dropped u",
    "wireguard_device.tx_dropped u",
    "wireguard_device.rx_frame_errors u",
    "wireguard_device.rx_length_errors u",
    "wireguard_peer.persistent_keepalive_interval_ns i",
    "wireguard_peer.protocol_version i",
    "wireguard_peer.allowed_ips i",
    "wireguard_peer.endpoint s",
    "wireguard_peer.allowed_peer_cidr s",
    "wireguard_peer.last_handshake_time_ns i",
    "wireguard_peer.rx_bytes i",
    "wireguard_peer.tx_bytes i",
    "wireguard_peer.handshake_age_s f",
    "wireguard_peer.handshakes u",
    "wireguard_peer.endpoint_changes u",
    "wireguard_peer.counter_resets u",
    "wireguard_event.severity i",
    "wireguard_event.message s",
    "wireguard_event.from s",
    "wireguard_event.to s",
    "wgvitals.success i",
    "wgvitals.duration_ns i",
    "wgvitals.records i",
    "wgvitals.retries u",
    "wgvitals.errors u",
    "wgvitals.capped i",
    "wgvitals.memory_bytes i",
    "wgvitals.late u",
    "wgvitals.skipped u",
    "wgvitals.version s",
};

TEST(Catalogue, HasTheNamesAndTypesOfTheContract) {
  std::vector<std::string> said;
  for (const auto* family : collect::all_families()) {
    for (const auto* metric : family->metrics) {
      said.push_back(called(*family, *metric) + " " + letter_of(metric->type));
    }
  }
  EXPECT_THAT(said, UnorderedElementsAreArray(contract));
}

TEST(Catalogue, HasTheTagsOfTheContract) {
  const std::map<std::string, std::vector<std::string>> tags = {
      {"wireguard_device", {"name", "netns", "type"}},
      {"wireguard_peer", {"device", "netns", "public_key", "friendly_name"}},
      {"wireguard_event", {"device", "netns", "public_key", "friendly_name", "event"}},
      {"wgvitals", {"collector"}},
  };
  for (const auto* family : collect::all_families()) {
    std::vector<std::string> said;
    for (const auto* label : family->labels) said.emplace_back(label->tag.view());
    const auto expected = tags.find(std::string(family->name.view()));
    ASSERT_NE(expected, tags.end()) << family->name.view();
    EXPECT_EQ(said, expected->second) << family->name.view();
  }
}

TEST(Catalogue, SplitsTelegrafsLinesAsTelegrafDoes) {
  const auto same_line = [](const char* family, const char* left, const char* right) {
    return &test::family(family, left) == &test::family(family, right);
  };
  EXPECT_TRUE(same_line("wireguard_device", "listen_port", "firewall_mark"));
  EXPECT_FALSE(same_line("wireguard_device", "listen_port", "peers"));
  for (const auto* field : {"protocol_version", "allowed_ips", "endpoint", "allowed_peer_cidr"}) {
    EXPECT_TRUE(same_line("wireguard_peer", "persistent_keepalive_interval_ns", field)) << field;
  }
  for (const auto* field : {"rx_bytes", "tx_bytes"}) {
    EXPECT_TRUE(same_line("wireguard_peer", "last_handshake_time_ns", field)) << field;
  }
  EXPECT_FALSE(same_line("wireguard_peer", "endpoint", "rx_bytes"));
}

TEST(Catalogue, PartsItsOwnTextsFromNumbers) {
  for (const auto* family : collect::all_families()) {
    std::set<bool> kinds;
    for (const auto* metric : family->metrics) kinds.insert(metric->type == Type::text);
    const bool is_telegrafs = family == &test::family("wireguard_peer", "endpoint");
    EXPECT_EQ(kinds.size(), is_telegrafs ? 2u : 1u) << family->name.view();
  }
}

TEST(Catalogue, NamesAFieldOnceInAllLinesOfAFamily) {
  std::set<std::string> names;
  for (const auto* family : collect::all_families()) {
    for (const auto* metric : family->metrics) {
      EXPECT_TRUE(names.insert(called(*family, *metric)).second) << called(*family, *metric);
    }
    for (const auto* label : family->labels) {
      for (const auto* metric : family->metrics) {
        EXPECT_NE(label->tag.view(), metric->field.view()) << "a tag hides the field";
      }
    }
  }
}

TEST(Catalogue, ExplainsEverything) {
  for (const auto* family : collect::all_families()) {
    EXPECT_FALSE(family->help.empty()) << family->name.view();
    for (const auto* metric : family->metrics) {
      EXPECT_FALSE(metric->help.empty()) << called(*family, *metric);
      // As it stands in HELP lines and in the columns of the page.
      EXPECT_EQ(metric->help.find_first_of("\n\\|"), std::string_view::npos)
          << called(*family, *metric);
    }
  }
}

TEST(Catalogue, EndsAFieldAsItsUnitDemands) {
  const std::map<Unit, std::string> suffixes = {{Unit::seconds, "_s"},
                                                {Unit::milliseconds, "_ms"},
                                                {Unit::nanoseconds, "_ns"},
                                                {Unit::percent, "_percent"}};
  for (const auto* family : collect::all_families()) {
    for (const auto* metric : family->metrics) {
      const auto suffix = suffixes.find(metric->unit);
      if (suffix == suffixes.end()) continue;
      EXPECT_TRUE(metric->field.view().ends_with(suffix->second)) << called(*family, *metric);
    }
  }
}

TEST(Catalogue, GivesPrometheusTheNamesOfTheContract) {
  const auto name = [](const char* family, const char* field) {
    const auto& found = test::family(family, field);
    for (const auto* metric : found.metrics) {
      if (metric->field.view() == field) return output::to_prometheus_name(found, *metric);
    }
    return std::string();
  };
  EXPECT_EQ(name("wireguard_peer", "tx_bytes"), "wireguard_sent_bytes_total");
  EXPECT_EQ(name("wireguard_peer", "rx_bytes"), "wireguard_received_bytes_total");
  EXPECT_EQ(name("wireguard_peer", "last_handshake_time_ns"), "wireguard_latest_handshake_seconds");
  EXPECT_EQ(name("wireguard_peer", "handshake_age_s"), "wireguard_latest_handshake_delay_seconds");
  EXPECT_EQ(name("wireguard_peer", "counter_resets"), "wireguard_peer_resets_total");
  EXPECT_EQ(name("wireguard_peer", "handshakes"), "wireguard_peer_handshakes_total");
  EXPECT_EQ(name("wireguard_device", "link_up"), "wireguard_device_link_up");
}

TEST(Catalogue, GivesPrometheusNoNameWithTwoMeanings) {
  std::map<std::string, std::string> meanings;
  for (const auto* family : collect::all_families()) {
    for (const auto* metric : family->metrics) {
      if (metric->type == Type::text) continue;
      const auto name = output::to_prometheus_name(*family, *metric);
      const std::string meaning =
          std::string(metric->kind == Kind::counter ? "counter " : "gauge ") +
          std::string(metric->help);
      const auto [known, is_new] = meanings.emplace(name, meaning);
      EXPECT_EQ(known->second, meaning) << name;
      EXPECT_TRUE(is_new) << name << " of " << called(*family, *metric);
    }
  }
}

TEST(Catalogue, GivesPrometheusNamesThatItsLintPasses) {
  for (const auto* family : collect::all_families()) {
    for (const auto* metric : family->metrics) {
      if (metric->type == Type::text) continue;
      const auto name = output::to_prometheus_name(*family, *metric);
      EXPECT_THAT(name, MatchesRegex("[a-z][a-z0-9_]*"));
      EXPECT_EQ(name.ends_with("_total"), metric->kind == Kind::counter) << name;
      for (const auto* wrong : {"_count", "_sum", "_bucket", "_info", "_ms", "_ns", "_percent"}) {
        EXPECT_FALSE(name.ends_with(wrong)) << name;
      }
    }
    for (const auto* label : family->labels) {
      const auto name = label->prometheus.empty() ? label->tag.view() : label->prometheus;
      for (const auto* reserved : {"le", "quantile", "job", "instance"}) EXPECT_NE(name, reserved);
    }
  }
}

// The column of the catalogue, with what the daemon's own files tell apart: the source in a value.
std::vector<std::string> collectd_names() {
  std::vector<std::string> names;
  const auto list = nlohmann::json::parse(catalogue({"--json"}));
  std::size_t at = 0;
  for (const auto* family : collect::all_families()) {
    for (const auto* metric : family->metrics) {
      const auto& entry = list.at(at++);
      EXPECT_EQ(entry.at("field"), metric->field.view());
      const auto name = entry.at("collectd").get<std::string>();
      if (!name.empty()) names.push_back(name + " " + std::to_string(metric->collectd.source));
    }
  }
  EXPECT_EQ(at, list.size());
  return names;
}

TEST(Catalogue, GivesCollectdTheIdentifiersOfTheContract) {
  const std::vector<std::string> expected = {
      "wireguard-<device>/if_octets-<peer> 0",
      "wireguard-<device>/if_octets-<peer> 1",
      "wireguard-<device>/duration-<peer> 0",
      "wireguard-<device>/time_ref-<peer> 0",
      "wireguard-<device>/derive-handshakes-<peer> 0",
      "wireguard-<device>/derive-endpoint_changes-<peer> 0",
      "wireguard-<device>/derive-counter_resets-<peer> 0",
      "wireguard-<name>/if_octets 0",
      "wireguard-<name>/if_octets 1",
      "wireguard-<name>/if_packets 0",
      "wireguard-<name>/if_packets 1",
      "wireguard-<name>/if_errors 0",
      "wireguard-<name>/if_errors 1",
      "wireguard-<name>/if_dropped 0",
      "wireguard-<name>/if_dropped 1",
      "wireguard-<name>/count-peers 0",
      "wireguard-<name>/gauge-mtu 0",
      "wireguard-<name>/bool-link_up 0",
      "wireguard-<name>/derive-link_flaps 0",
      "wireguard/bool-success-<collector> 0",
  };
  EXPECT_THAT(collectd_names(), testing::IsSupersetOf(expected));
}

TEST(Catalogue, GivesCollectdNoIdentifierTwice) {
  std::set<std::string> seen;
  for (auto name : collectd_names()) {
    // A device is called "name" in its own family: the identifier is the same.
    constexpr std::string_view own = "<name>";
    if (const auto at = name.find(own); at != std::string::npos) {
      name.replace(at, own.size(), "<device>");
    }
    EXPECT_TRUE(seen.insert(name).second) << name;
  }
}

TEST(Catalogue, TakesOnlyStockTypesOfCollectd) {
  const std::set<std::string> stock = {"gauge",     "derive",    "bool",      "count",
                                       "duration",  "time_ref",  "if_octets", "if_packets",
                                       "if_errors", "if_dropped"};
  for (const auto& name : collectd_names()) {
    const auto start = name.find('/') + 1;
    EXPECT_TRUE(stock.contains(name.substr(start, name.find_first_of("- ", start) - start)))
        << name;
  }
}

TEST(Catalogue, RefusesConfiguredLabelsThatItHasItself) {
  for (const auto* taken : {"device", "interface", "public_key", "netns", "event", "rx_bytes",
                            "time", "host", "le", "_x", "9x", "", "a b"}) {
    EXPECT_FALSE(collect::refuse_label(taken).empty()) << taken;
  }
  for (const auto* free : {"site", "tenant", "Rack_9"}) {
    EXPECT_THAT(collect::refuse_label(free), IsEmpty());
  }
}

TEST(Catalogue, IsThePageOfTheDocuments) {
  test::compare_with_file("configs/METRICS.md", catalogue({"--markdown"}));
}

TEST(Catalogue, IsListedPlainlyWithoutOptions) {
  const auto text = catalogue({});
  EXPECT_THAT(text, ContainsRegex("^wireguard_device\n  listen_port +i  UDP port"));
}

}  // namespace
}  // namespace wgvitals
