// One set of records in every format, compared with the texts beside this file.
// WGVITALS_UPDATE_GOLDEN=1 writes them anew, to be read as a change.

#include <gtest/gtest.h>

#include "common/output/graphite.h"
#include "common/output/json.h"
#include "common/output/line_protocol.h"
#include "common/output/prometheus.h"
#include "plugins/cli/table.h"
#include "tests/support/families.h"
#include "tests/support/golden.h"
#include "tests/support/things.h"

namespace wgvitals {
namespace {

using test::Thing;

constexpr auto laptop = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=";
constexpr auto phone = "+gNEm7Xb/b1VnrAFiJp3LMQmxZyzPvXf2Gvjnwx9aXo=";

// Values all differ and are not zero, so that a swap is seen; names need escaping everywhere.
void tell(Sink& sink) {
  const Thing things[] = {
      {"wireguard_device",
       {{"name", "wg0"}, {"type", "linux_kernel"}},
       {{"listen_port", 51820}, {"firewall_mark", 51821}}},
      {"wireguard_device",
       {{"name", "wg0"}, {"type", "linux_kernel"}},
       {{"peers", 2},
        {"mtu", 1420},
        {"link_up", true},
        {"link_flaps", 3u},
        {"rx_bytes", std::uint64_t{UINT64_MAX}},
        {"tx_bytes", 4096u},
        {"rx_packets", 101u},
        {"tx_packets", 102u},
        {"rx_errors", 103u},
        {"tx_errors", 104u},
        {"rx_dropped", 105u},
        {"tx_dropped", 106u},
        {"rx_frame_errors", 107u},
        {"rx_length_errors", 108u}}},
      {"wireguard_peer",
       {{"device", "wg0"}, {"public_key", laptop}, {"friendly_name", "Anna's \"laptop\", a=b\\"}},
       {{"persistent_keepalive_interval_ns", std::int64_t{25'000'000'000}},
        {"protocol_version", 1},
        {"allowed_ips", 2},
        {"endpoint", "[2001:db8::1]:51820"},
        {"allowed_peer_cidr", "10.0.0.2/32,fd00::2/128"}}},
      {"wireguard_peer",
       {{"device", "wg0"}, {"public_key", laptop}, {"friendly_name", "Anna's \"laptop\", a=b\\"}},
       {{"last_handshake_time_ns", std::int64_t{1709207965000000001}},
        {"rx_bytes", std::int64_t{5'368'709'120}},
        {"tx_bytes", std::int64_t{1'572'864}},
        {"handshake_age_s", 35.123},
        {"handshakes", 7u},
        {"endpoint_changes", 8u},
        {"counter_resets", 9u}}},
      {"wireguard_device",
       {{"name", "wg1"}, {"netns", "blue"}, {"type", "userspace"}},
       {{"listen_port", 443}, {"firewall_mark", 444}}},
      {"wireguard_device",
       {{"name", "wg1"}, {"netns", "blue"}, {"type", "userspace"}},
       {{"peers", 1}}},
      {"wireguard_peer",
       {{"device", "wg1"}, {"netns", "blue"}, {"public_key", phone}},
       {{"persistent_keepalive_interval_ns", std::int64_t{15'000'000'000}},
        {"protocol_version", 1},
        {"allowed_ips", 1000}}},
      {"wireguard_peer",
       {{"device", "wg1"}, {"netns", "blue"}, {"public_key", phone}},
       {{"rx_bytes", 92}, {"tx_bytes", 148}}},
      {"wgvitals",
       {{"collector", "wireguard"}},
       {{"success", true},
        {"duration_ns", 1'234'567},
        {"records", 8},
        {"retries", 1u},
        {"errors", 2u},
        {"capped", 3}}},
      {"wgvitals",
       {{"collector", "engine"}},
       {{"memory_bytes", 12'345'678}, {"late", 4u}, {"skipped", 5u}}},
      {"wgvitals", {{"collector", "engine"}}, {{"version", "1.2.3"}}},
  };
  sink.begin(test::leap_day());
  for (const auto& thing : things) test::take(thing, sink);
  const Label labels[] = {{&device_label, "wg0"},
                          {&public_key_label, laptop},
                          {&friendly_name_label, "Anna's \"laptop\", a=b\\"}};
  sink.take(Event{"endpoint", Severity::okay, labels, "192.0.2.1:51820", "[2001:db8::1]:51820",
                  "the peer's endpoint changed"});
}

TEST(Golden, LineProtocol) {
  std::string text;
  output::LineProtocol sink(text, output::Unsigned::kept);
  tell(sink);
  test::compare_with_golden("line_protocol.txt", text);
}

TEST(Golden, LineProtocolWithoutUnsignedNumbers) {
  std::string text;
  output::LineProtocol sink(text, output::Unsigned::clipped);
  tell(sink);
  test::compare_with_golden("line_protocol_clipped.txt", text);
}

TEST(Golden, Prometheus) {
  output::Prometheus sink;
  tell(sink);
  test::compare_with_golden("prometheus.txt", sink.text());
}

TEST(Golden, Graphite) {
  std::string text;
  output::Graphite sink(text, "wireguard", "gate.example.org");
  tell(sink);
  test::compare_with_golden("graphite.txt", text);
}

TEST(Golden, Json) {
  output::Json sink;
  tell(sink);
  test::compare_with_golden("json.txt", sink.finish());
}

TEST(Golden, Table) {
  cli::Table sink;
  tell(sink);
  test::compare_with_golden("table.txt", sink.text(false));
}

}  // namespace
}  // namespace wgvitals
