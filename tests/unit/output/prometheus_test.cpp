#include "common/output/prometheus.h"

#include <gtest/gtest.h>

#include "tests/support/things.h"

namespace wgvitals::output {
namespace {

using test::things;

std::string written(const Family& family, std::span<const Label> labels,
                    std::span<const Reading> readings) {
  Prometheus sink;
  sink.take(Record{family, labels, readings});
  return sink.text();
}

constexpr Metric metric(Name field, Kind kind, Unit unit, std::string_view prometheus = {}) {
  return {field, Type::f64, kind, unit, "help", {}, prometheus};
}

TEST(PrometheusName, IsFamilyAndFieldInBaseUnits) {
  constexpr Family other{"wgvitals", "x", {}, {}, {}};
  const struct {
    const Family* family;
    Metric metric;
    const char* name;
  } cases[] = {
      {&things, metric("peers", Kind::gauge, Unit::none), "wireguard_thing_peers"},
      {&other, metric("records", Kind::gauge, Unit::none), "wireguard_wgvitals_records"},
      {&things, metric("rx_bytes", Kind::counter, Unit::bytes), "wireguard_thing_rx_bytes_total"},
      {&things, metric("mtu", Kind::gauge, Unit::bytes), "wireguard_thing_mtu_bytes"},
      {&things, metric("rx_packets", Kind::counter, Unit::packets),
       "wireguard_thing_rx_packets_total"},
      {&things, metric("age_s", Kind::gauge, Unit::seconds), "wireguard_thing_age_seconds"},
      {&things, metric("rtt_ms", Kind::gauge, Unit::milliseconds), "wireguard_thing_rtt_seconds"},
      {&things, metric("spent_ns", Kind::counter, Unit::nanoseconds),
       "wireguard_thing_spent_seconds_total"},
      {&things, metric("loss_percent", Kind::gauge, Unit::percent), "wireguard_thing_loss_ratio"},
      {&things, metric("up", Kind::gauge, Unit::truth), "wireguard_thing_up"},
      {&things, metric("rx", Kind::counter, Unit::bytes, "wireguard_own_name"),
       "wireguard_own_name"},
  };
  for (const auto& test : cases) {
    EXPECT_EQ(to_prometheus_name(*test.family, test.metric), test.name);
  }
}

TEST(Prometheus, SaysHelpAndTypeOnceAndKeepsTheSamplesOfAMetricTogether) {
  Prometheus sink;
  for (const auto* device : {"wg0", "wg1"}) {
    const Label labels[] = {{&device_label, device}};
    const Reading readings[] = {{&test::whole, 1}, {&test::total, 2u}};
    sink.take(Record{things, labels, readings});
  }
  EXPECT_EQ(sink.text(),
            "# HELP wireguard_thing_total_total An unsigned number\n"
            "# TYPE wireguard_thing_total_total counter\n"
            "wireguard_thing_total_total{interface=\"wg0\"} 2\n"
            "wireguard_thing_total_total{interface=\"wg1\"} 2\n"
            "# HELP wireguard_thing_whole A signed number\n"
            "# TYPE wireguard_thing_whole gauge\n"
            "wireguard_thing_whole{interface=\"wg0\"} 1\n"
            "wireguard_thing_whole{interface=\"wg1\"} 1\n");
}

TEST(Prometheus, EscapesLabels) {
  const struct {
    std::string_view value, label;
  } cases[] = {
      {"berlin", "{site=\"berlin\"}"},
      {"a\"b", "{site=\"a\\\"b\"}"},
      {"C:\\", "{site=\"C:\\\\\"}"},
      {"a\nb", "{site=\"a\\nb\"}"},
      {"a b,c={d}", "{site=\"a b,c={d}\"}"},
      {"caf\xc3\xa9", "{site=\"caf\xc3\xa9\"}"},
      {"", ""},
  };
  const Reading readings[] = {{&test::whole, 1}};
  for (const auto& test : cases) {
    const Label labels[] = {{&test::site_label, test.value}};
    EXPECT_TRUE(written(things, labels, readings)
                    .ends_with("\nwireguard_thing_whole" + std::string(test.label) + " 1\n"))
        << test.value;
  }
}

TEST(Prometheus, CallsDevicesInterfaces) {
  const Label labels[] = {{&device_name_label, "wg0"}, {&netns_label, "blue"}};
  const Reading readings[] = {{&test::whole, 1}};
  EXPECT_TRUE(written(things, labels, readings)
                  .ends_with("wireguard_thing_whole{interface=\"wg0\",netns=\"blue\"} 1\n"));
}

TEST(Prometheus, WritesValuesInBaseUnits) {
  const struct {
    Unit unit;
    double value;
    const char* written;
  } cases[] = {
      {Unit::none, 15, "15"},
      {Unit::bytes, 1420, "1420"},
      {Unit::seconds, 0.25, "0.25"},
      {Unit::milliseconds, 9, "0.009"},
      {Unit::milliseconds, 1500, "1.5"},
      {Unit::nanoseconds, 15e9, "15"},
      {Unit::nanoseconds, 29e9, "29"},
      {Unit::nanoseconds, 1, "1e-09"},
      {Unit::percent, 7, "0.07"},
      {Unit::percent, 100, "1"},
  };
  for (const auto& test : cases) {
    const auto one = metric("x", Kind::gauge, test.unit);
    const Reading readings[] = {{&one, test.value}};
    const auto text = written(things, {}, readings);
    EXPECT_TRUE(text.ends_with(" " + std::string(test.written) + "\n")) << text;
  }
}

TEST(Prometheus, WritesEveryKeepaliveAsWholeSeconds) {
  constexpr Metric keepalive{"keepalive_ns", Type::i64, Kind::gauge, Unit::nanoseconds, "x"};
  for (std::int64_t seconds = 0; seconds < 10'000; ++seconds) {
    const Reading readings[] = {{&keepalive, seconds * 1'000'000'000}};
    ASSERT_TRUE(
        written(things, {}, readings)
            .ends_with("wireguard_thing_keepalive_seconds " + std::to_string(seconds) + "\n"))
        << seconds;
  }
}

TEST(Prometheus, WritesIntegersAndTruths) {
  const Reading readings[] = {{&test::flag, true}};
  EXPECT_TRUE(written(things, {}, readings).ends_with("wireguard_thing_flag 1\n"));
  const Reading large[] = {{&test::total, std::uint64_t{UINT64_MAX}}};
  EXPECT_TRUE(written(things, {}, large).ends_with(" 18446744073709551615\n"));
}

TEST(Prometheus, TellsTextsAsLabelsOfOneMetric) {
  constexpr Metric renamed{"cidr", Type::text, Kind::gauge, Unit::none, "x", {}, "allowed_ips"};
  const Label labels[] = {{&device_label, "wg0"}};
  const Reading readings[] = {{&test::words, "a\"b"}, {&test::whole, 1}, {&renamed, "10.0.0.0/8"}};
  EXPECT_EQ(written(things, labels, readings),
            "# HELP wireguard_thing_info Things\n"
            "# TYPE wireguard_thing_info gauge\n"
            "wireguard_thing_info{interface=\"wg0\",words=\"a\\\"b\",allowed_ips=\"10.0.0.0/8\"} "
            "1\n"
            "# HELP wireguard_thing_whole A signed number\n"
            "# TYPE wireguard_thing_whole gauge\n"
            "wireguard_thing_whole{interface=\"wg0\"} 1\n");
}

TEST(Prometheus, HasNoInfoWithoutTexts) {
  const Reading empty[] = {{&test::words, ""}};
  EXPECT_EQ(written(things, {}, empty), "");
  const Reading words[] = {{&test::words, "up"}};
  EXPECT_EQ(written(things, {}, words),
            "# HELP wireguard_thing_info Things\n# TYPE wireguard_thing_info gauge\n"
            "wireguard_thing_info{words=\"up\"} 1\n");
}

TEST(Prometheus, LeavesOutWhatIsNoNumber) {
  const Reading readings[] = {{&test::real, test::not_a_number}, {&test::other, test::infinite}};
  EXPECT_EQ(written(things, {}, readings), "");
}

TEST(Prometheus, HasNoFormForEvents) {
  Prometheus sink;
  sink.take(Event{"link", Severity::failure, {}, "up", "down", "x"});
  EXPECT_EQ(sink.text(), "");
}

}  // namespace
}  // namespace wgvitals::output
