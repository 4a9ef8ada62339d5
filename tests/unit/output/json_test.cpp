#include "common/output/json.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/support/things.h"

namespace wgvitals::output {
namespace {

using nlohmann::json;
using test::things;

json written(std::span<const Label> labels, std::span<const Reading> readings) {
  Json sink;
  sink.begin(test::leap_day());
  sink.take(Record{things, labels, readings});
  return json::parse(sink.finish());
}

json only_field(const Metric& metric, const Value& value) {
  const Reading readings[] = {{&metric, value}};
  return written({}, readings).at("metrics").at(0).at("fields");
}

TEST(Json, IsInTheShapeOfTelegrafsSerializer) {
  const Label labels[] = {{&device_label, "wg0"}, {&test::site_label, ""}};
  const Reading readings[] = {{&test::whole, -1},
                              {&test::total, 2u},
                              {&test::real, 0.5},
                              {&test::flag, true},
                              {&test::words, "up"}};
  EXPECT_EQ(written(labels, readings), json::parse(R"({"metrics": [{
      "name": "wireguard_thing",
      "tags": {"device": "wg0"},
      "fields": {"whole": -1, "total": 2, "real": 0.5, "flag": true, "words": "up"},
      "timestamp": 1709208000123456789}]})"));
}

TEST(Json, HasSeveralMetricsInOneDocument) {
  Json sink;
  sink.begin(test::leap_day());
  const Reading readings[] = {{&test::whole, 1}};
  for (int i = 0; i < 3; ++i) sink.take(Record{things, {}, readings});
  EXPECT_EQ(json::parse(sink.finish()).at("metrics").size(), 3u);
}

TEST(Json, IsADocumentWithoutMetrics) {
  EXPECT_EQ(json::parse(Json().finish()), json::parse(R"({"metrics": []})"));
}

TEST(Json, KeepsIntegersExact) {
  const auto large = only_field(test::total, std::uint64_t{UINT64_MAX}).at("total");
  EXPECT_TRUE(large.is_number_unsigned());
  EXPECT_EQ(large.get<std::uint64_t>(), UINT64_MAX);
  EXPECT_EQ(only_field(test::whole, std::int64_t{INT64_MIN}).at("whole").get<std::int64_t>(),
            INT64_MIN);
}

TEST(Json, KeepsFloatsAndTheirType) {
  EXPECT_EQ(only_field(test::real, 0.1).at("real").get<double>(), 0.1);
  EXPECT_TRUE(only_field(test::real, 1.0).at("real").is_number_float());
}

TEST(Json, BringsTextsBack) {
  for (const std::string text :
       {"say \"hi\"", "C:\\", "a\nb\tc\x01", "caf\xc3\xa9 \xf0\x9f\x94\x91", "</script>", ""}) {
    EXPECT_EQ(only_field(test::words, std::string_view(text)).at("words"), text);
  }
}

TEST(Json, IsValidWhateverBytesATextHas) {
  EXPECT_EQ(only_field(test::words, "a\xff\x62").at("words"), "a\xef\xbf\xbd\x62");
  const Label labels[] = {{&test::site_label, "\xe2\x82"}};
  const Reading readings[] = {{&test::whole, 1}};
  EXPECT_EQ(written(labels, readings).at("metrics").at(0).at("tags").at("site"), "\xef\xbf\xbd");
}

TEST(Json, LeavesOutWhatIsNoNumber) {
  const Reading readings[] = {
      {&test::real, test::not_a_number}, {&test::other, test::infinite}, {&test::whole, 1}};
  EXPECT_EQ(written({}, readings).at("metrics").at(0).at("fields"), json({{"whole", 1}}));
  const Reading none[] = {{&test::real, test::not_a_number}};
  EXPECT_TRUE(written({}, none).at("metrics").empty());
}

TEST(Json, TellsEventsAsTwoMetrics) {
  Json sink;
  sink.begin(test::leap_day());
  sink.take(Event{"link", Severity::failure, {}, "up", "down", "x"});
  const auto metrics = json::parse(sink.finish()).at("metrics");
  ASSERT_EQ(metrics.size(), 2u);
  EXPECT_EQ(metrics[0].at("fields"), json({{"severity", 1}}));
  EXPECT_EQ(metrics[1].at("fields"), json({{"message", "x"}, {"from", "up"}, {"to", "down"}}));
}

}  // namespace
}  // namespace wgvitals::output
