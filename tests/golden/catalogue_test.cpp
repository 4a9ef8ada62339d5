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
    "wireguard_device.threaded i",
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
    "ping.packets_transmitted i",
    "ping.packets_received i",
    "ping.percent_packet_loss f",
    "ping.ttl i",
    "ping.minimum_response_ms f",
    "ping.average_response_ms f",
    "ping.maximum_response_ms f",
    "ping.standard_deviation_ms f",
    "ping.percentile50_ms f",
    "ping.percentile95_ms f",
    "ping.percentile99_ms f",
    "ping.result_code i",
    "ping.jitter_ms f",
    "ping.packets_unsent i",
    "ping.duplicates i",
    "ping.reordered i",
    "ping.late i",
    "ping.outage_ms f",
    "ping.resolved_address s",
    "net_response.response_time f",
    "net_response.result_code u",
    "net_response.result_type s",
    "net_response.string_found b",
    "http_response.response_time f",
    "http_response.result_code i",
    "http_response.result_type s",
    "http_response.http_response_code i",
    "http_response.content_length i",
    "http_response.response_string_match i",
    "http_response.response_status_code_match i",
    "http_response.connect_ms f",
    "http_response.tls_ms f",
    "http_response.first_byte_ms f",
    "http_response.certificate_expiry_s i",
    "wireguard_probe.ok i",
    "wireguard_probe.outcome_code i",
    "wireguard_probe.handshake_rtt_ms f",
    "wireguard_probe.resolve_ms f",
    "wireguard_probe.cookie i",
    "wireguard_probe.tunnel_sent i",
    "wireguard_probe.tunnel_received i",
    "wireguard_probe.tunnel_rtt_ms f",
    "wireguard_probe.tunnel_loss_percent f",
    "wireguard_probe.tunnel_port_open i",
    "wireguard_probe.outcome s",
    "wireguard_probe.advice s",
    "wireguard_probe.answered_from s",
    "wireguard_path.interface_mtu i",
    "wireguard_path.path_mtu i",
    "wireguard_path.tunnel_path_mtu i",
    "wireguard_path.mtu_headroom i",
    "wireguard_path.underlay_rtt_ms f",
    "wireguard_path.tunnel_rtt_ms f",
    "wireguard_path.overhead_ms f",
    "wireguard_path.egress_via_tunnel i",
    "wireguard_path.nested i",
    "wireguard_path.via_device s",
    "wireguard_hop.packets_transmitted i",
    "wireguard_hop.packets_received i",
    "wireguard_hop.percent_packet_loss f",
    "wireguard_hop.average_response_ms f",
    "wireguard_hop.best_response_ms f",
    "wireguard_hop.worst_response_ms f",
    "wireguard_hop.address s",
    "wireguard_stamp.sent i",
    "wireguard_stamp.received i",
    "wireguard_stamp.lost_forward_percent f",
    "wireguard_stamp.lost_backward_percent f",
    "wireguard_stamp.duplicates_forward i",
    "wireguard_stamp.duplicates_backward i",
    "wireguard_stamp.rtt_ms f",
    "wireguard_stamp.ipdv_forward_ms f",
    "wireguard_stamp.ipdv_backward_ms f",
    "wireguard_stamp.delay_forward_ms f",
    "wireguard_stamp.delay_backward_ms f",
    "conntrack.ip_conntrack_count f",
    "conntrack.ip_conntrack_max f",
    "conntrack.percent_used f",
    "conntrack.buckets i",
    "conntrack.entries u",
    "conntrack.searched u",
    "conntrack.found u",
    "conntrack.new u",
    "conntrack.invalid u",
    "conntrack.ignore u",
    "conntrack.delete u",
    "conntrack.delete_list u",
    "conntrack.insert u",
    "conntrack.insert_failed u",
    "conntrack.drop u",
    "conntrack.early_drop u",
    "conntrack.icmp_error u",
    "conntrack.expect_new u",
    "conntrack.expect_create u",
    "conntrack.expect_delete u",
    "conntrack.search_restart u",
    "conntrack.clash_resolve u",
    "conntrack.chain_toolong u",
    "wireguard_conntrack.flows i",
    "wireguard_conntrack.unreplied i",
    "wireguard_conntrack.assured i",
    "wireguard_conntrack.min_timeout_s i",
    "wireguard_transport.socket_rx_queue_bytes i",
    "wireguard_transport.socket_tx_queue_bytes i",
    "wireguard_transport.socket_rcvbuf_bytes i",
    "wireguard_transport.socket_drops u",
    "wireguard_underlay.rx_errors u",
    "wireguard_underlay.tx_errors u",
    "wireguard_underlay.rx_dropped u",
    "wireguard_underlay.tx_dropped u",
    "wireguard_underlay.mtu i",
    "wireguard_underlay.speed_mbit i",
    "wireguard_crypto.encrypt_ns u",
    "wireguard_crypto.decrypt_ns u",
    "wireguard_crypto.transmit_ns u",
    "wireguard_crypto.handshake_ns u",
    "wireguard_crypto.receive_ns u",
    "wireguard_crypto.total_ns u",
    "wireguard_crypto.busy_percent f",
    "wireguard_crypto.process_rss_bytes i",
    "wireguard_crypto.process_threads i",
    "wireguard_crypto.busiest_thread_percent f",
    "wireguard_crypto.encrypt_ns_per_packet f",
    "wireguard_crypto.decrypt_ns_per_packet f",
    "wireguard_crypto.method_reason s",
    "wireguard_trace.handshake_rtt_ms f",
    "wireguard_trace.invalid_mac u",
    "wireguard_trace.cookies_sent u",
    "wireguard_trace.cookies_received u",
    "wireguard_trace.refused_initiations u",
    "wireguard_trace.tap_dropped u",
    "wireguard_trace.auth_failures u",
    "wireguard_trace.replays u",
    "wireguard_trace.unknown_index u",
    "wireguard_host.udp_rcvbuf_errors u",
    "wireguard_host.udp_sndbuf_errors u",
    "wireguard_host.udp_in_errors u",
    "wireguard_host.ip_frag_fails u",
    "wireguard_host.ip_frag_creates u",
    "wireguard_host.ip_reasm_fails u",
    "wireguard_host.icmp_in_frag_needed u",
    "wireguard_host.icmp6_in_too_big u",
    "wireguard_host.tcp_retrans_segs u",
    "wireguard_host.softnet_dropped u",
    "wireguard_host.softnet_time_squeezed u",
    "wireguard_host.core_throttle_count u",
    "wireguard_host.rmem_max i",
    "wireguard_host.wmem_max i",
    "wireguard_host.cpu_busiest i",
    "wireguard_host.clock_synchronised i",
    "wireguard_host.cpu_max_busy_percent f",
    "wireguard_host.cpu_max_softirq_percent f",
    "wireguard_host.irq_busiest_cpu_percent f",
    "wireguard_host.clock_offset_ms f",
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
      {"ping", {"url", "device", "netns", "public_key", "friendly_name"}},
      {"net_response", {"server", "port", "protocol", "device", "result"}},
      {"http_response", {"server", "method", "device", "result", "status_code"}},
      {"wireguard_path", {"device", "netns", "public_key", "friendly_name"}},
      {"wireguard_hop", {"url", "hop"}},
      {"wireguard_stamp", {"server", "device"}},
      {"conntrack", {"cpu", "netns"}},
      {"wireguard_conntrack", {"device", "netns"}},
      {"wireguard_transport", {"device", "netns"}},
      {"wireguard_underlay", {"device", "netns", "link"}},
      {"wireguard_crypto", {"device", "netns", "cpu", "method"}},
      {"wireguard_trace", {"device", "netns", "public_key", "friendly_name", "source"}},
      {"wireguard_host", {"netns"}},
      {"wireguard_probe", {"probe", "server"}},
      {"wireguard_event", {"device", "netns", "public_key", "friendly_name", "event"}},
      {"wgvitals", {"collector"}},
  };
  for (const auto* family : collect::all_families()) {
    std::vector<std::string> said;
    for (const auto* label : family->labels) said.emplace_back(label->tag.view());
    if (family == &test::family("conntrack", "buckets")) {  // Telegraf's line without a CPU
      EXPECT_EQ(said, std::vector<std::string>{"netns"});
      continue;
    }
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
    const auto is_of = [&](const char* name, const char* field) {
      return family == &test::family(name, field);
    };
    const bool is_telegrafs = is_of("wireguard_peer", "endpoint") ||
                              is_of("net_response", "result_type") ||
                              is_of("http_response", "result_type");
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
      if (suffix == suffixes.end() || metric->telegraf) continue;  // "response_time"
      const auto field = metric->field.view();
      // "percent_packet_loss", as Telegraf has it.
      EXPECT_TRUE(field.ends_with(suffix->second) || field.starts_with("percent_") ||
                  field.ends_with(suffix->second + "_per_packet"))
          << called(*family, *metric);
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
  EXPECT_EQ(name("conntrack", "ip_conntrack_count"), "wireguard_conntrack_table_entries");
  EXPECT_EQ(name("conntrack", "ip_conntrack_max"), "wireguard_conntrack_table_limit");
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
      // One for each place, "wireguard-<device>/ping-<peer> or ping/ping-<url>".
      constexpr std::string_view parting = " or ";
      for (std::string_view rest = name; !rest.empty();) {
        const auto one = rest.substr(0, rest.find(parting));
        names.push_back(std::string(one) + " " + std::to_string(metric->collectd.source));
        rest.remove_prefix(std::min(rest.size(), one.size() + parting.size()));
      }
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
      "wireguard-<device>/ping-<peer> 0",
      "wireguard-<device>/ping_stddev-<peer> 0",
      "wireguard-<device>/ping_droprate-<peer> 0",
      "wireguard-<device>/latency-p95-<peer> 0",
      "wireguard-<device>/latency-jitter-<peer> 0",
      "ping/ping-<url> 0",
      "ping/ping_stddev-<url> 0",
      "ping/ping_droprate-<url> 0",
      "conntrack/conntrack 0",
      "conntrack/conntrack-max 0",
      "conntrack/percent-used 0",
      "conntrack/derive-insert_failed-<cpu> 0",
      "wireguard-<device>/total_time_in_ms-total-<cpu> 0",
      "wireguard-<device>/total_time_in_ms-encrypt-<cpu> 0",
      "wireguard-<device>/gauge-crypto_busy_percent-<cpu> 0",
      "wireguard-probe_<probe>/ping 0",
      "wireguard-probe_<probe>/bool-ok 0",
      "wireguard-probe_<probe>/gauge-outcome 0",
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
  const std::set<std::string> stock = {"gauge",           "derive",     "bool",      "count",
                                       "duration",        "time_ref",   "if_octets", "if_packets",
                                       "if_errors",       "if_dropped", "ping",      "ping_stddev",
                                       "ping_droprate",   "latency",    "conntrack", "percent",
                                       "total_time_in_ms"};
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
