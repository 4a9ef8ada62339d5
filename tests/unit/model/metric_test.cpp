#include "common/model/metric.h"

#include <gtest/gtest.h>

namespace wgvitals {
namespace {

TEST(Name, HasLettersDigitsAndUnderscores) {
  for (const auto* good : {"rx_bytes", "A9", "_", "0"}) EXPECT_TRUE(Name::checked(good)) << good;
  for (const auto* wrong : {"", "a b", "a-b", "a,b", "a=b", "a\"b", "a.b", "\xc3\xa4", "a\n"}) {
    EXPECT_FALSE(Name::checked(wrong)) << wrong;
  }
}

TEST(Value, KeepsIntegersExact) {
  EXPECT_EQ(Value(std::uint64_t{UINT64_MAX}).u64(), UINT64_MAX);
  EXPECT_EQ(Value(std::int64_t{INT64_MIN}).i64(), INT64_MIN);
  EXPECT_EQ(Value(std::uint64_t{INT64_MAX}).as(Type::i64).i64(), INT64_MAX);
}

TEST(Value, BecomesTheTypeThatIsAskedFor) {
  EXPECT_EQ(Value(true).as(Type::i64).i64(), 1);
  EXPECT_EQ(Value(false).as(Type::u64).u64(), 0u);
  EXPECT_EQ(Value(7u).as(Type::f64).f64(), 7.0);
  EXPECT_EQ(Value(-7).as(Type::f64).f64(), -7.0);
  EXPECT_EQ(Value(2.9).as(Type::i64).i64(), 2);
  EXPECT_TRUE(Value(2).as(Type::boolean).boolean());
  EXPECT_FALSE(Value(0u).as(Type::boolean).boolean());
  EXPECT_EQ(Value(1u).as(Type::u64).type(), Type::u64);
}

TEST(Value, StaysATextWhateverIsAskedFor) {
  const auto text = Value("up").as(Type::i64);
  EXPECT_EQ(text.type(), Type::text);
  EXPECT_EQ(text.text(), "up");
  EXPECT_EQ(Value(1).as(Type::text).type(), Type::i64);
}

constexpr Metric metric{"mtu", Type::i64, Kind::gauge, Unit::bytes, "MTU"};

TEST(Readings, HaveTheTypeOfTheirMetric) {
  Readings<2> readings;
  readings.add(metric, std::uint32_t{1420});
  const std::span<const Reading> all = readings;
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(all[0].metric, &metric);
  EXPECT_EQ(all[0].value.type(), Type::i64);
  EXPECT_EQ(all[0].value.i64(), 1420);
}

TEST(Readings, LeaveOutWhatIsAbsent) {
  Readings<2> readings;
  readings.add(metric, std::optional<int>());
  EXPECT_TRUE(readings.empty());
  readings.add(metric, std::optional<int>(0));
  EXPECT_FALSE(readings.empty());
  readings.clear();
  EXPECT_TRUE(readings.empty());
}

}  // namespace
}  // namespace wgvitals
