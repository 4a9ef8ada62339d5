#include "common/output/number.h"

#include <gtest/gtest.h>

#include <limits>
#include <string>
#include <utility>

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

// Three decimals are written without a search: the same text, and the same number when read.
TEST(Number, IsReadAsTheSameDouble) {
  const std::pair<double, const char*> cases[] = {{0.001, "0.001"},
                                                  {-0.001, "-0.001"},
                                                  {35.12, "35.12"},
                                                  {100000.0, "100000"},
                                                  {0.0005, "5e-04"},
                                                  {1.0 / 3, "0.3333333333333333"},
                                                  {-12.5, "-12.5"},
                                                  {999999999999.999, "999999999999.999"},
                                                  {1e12, "1e+12"},
                                                  {0.1 + 0.2, "0.30000000000000004"},
                                                  {123456789.1234, "123456789.1234"},
                                                  {1e-7, "1e-07"},
                                                  {-0.0, "0"}};
  for (const auto& [number, text] : cases) {
    EXPECT_EQ(shown(number), std::string("=") + text);
    EXPECT_EQ(std::stod(text), number);
  }
  for (int i = 0; i < 100'000; ++i) {
    const double number = i * 0.997 / 1000;
    EXPECT_EQ(std::stod(shown(number).substr(1)), number);
  }
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
