#include "common/output/number.h"

#include <gtest/gtest.h>

#include <limits>

#include "tests/support/comma_locale.h"

namespace wgvitals::output {
namespace {

std::string shown(const Value& value) {
  std::string text = "=";
  append_value(text, value);
  return text;
}

TEST(Number, IsExactAndShort) {
  EXPECT_EQ(shown(std::uint64_t{UINT64_MAX}), "=18446744073709551615");
  EXPECT_EQ(shown(std::int64_t{INT64_MIN}), "=-9223372036854775808");
  EXPECT_EQ(shown(0.1), "=0.1");
  EXPECT_EQ(shown(-0.5), "=-0.5");
  EXPECT_EQ(shown(1.0), "=1");
  EXPECT_EQ(shown(std::numeric_limits<double>::max()), "=1.7976931348623157e+308");
  EXPECT_EQ(shown(std::numeric_limits<double>::denorm_min()), "=5e-324");
  EXPECT_EQ(shown(true), "=1");
  EXPECT_EQ(shown(false), "=0");
}

TEST(Number, HasAPointWhateverTheLocale) {
  const test::CommaLocale locale;
  EXPECT_EQ(shown(1234.5), "=1234.5");
  EXPECT_EQ(shown(1234567), "=1234567");
}

TEST(Number, IsPlainWhereEveryFormatCanShowIt) {
  EXPECT_TRUE(is_plain_number(0u));
  EXPECT_TRUE(is_plain_number(false));
  EXPECT_TRUE(is_plain_number(-1.5));
  EXPECT_FALSE(is_plain_number("1"));
  EXPECT_FALSE(is_plain_number(std::numeric_limits<double>::quiet_NaN()));
  EXPECT_FALSE(is_plain_number(std::numeric_limits<double>::infinity()));
  EXPECT_FALSE(is_plain_number(-std::numeric_limits<double>::infinity()));
}

}  // namespace
}  // namespace wgvitals::output
