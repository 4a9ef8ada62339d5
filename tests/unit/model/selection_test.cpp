#include "common/model/selection.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace wgvitals {
namespace {

using testing::StartsWith;
using Texts = std::vector<std::string>;

TEST(Pattern, IsAnExactNameOrAnExpressionThatMatchesAnywhere) {
  const struct {
    const char* pattern;
    const char* name;
    bool matches;
  } cases[] = {
      {"wg0", "wg0", true},
      {"wg0", "wg01", false},
      {"wg0", "WG0", false},
      {"w.0", "wg0", false},
      {"/^wg[0-9]+$/", "wg12", true},
      {"/^wg[0-9]+$/", "xwg12", false},
      {"/g/", "wg0", true},
      {"/^(a|b)$/", "b", true},
      {"/", "/", true},
      {"//", "//", true},
      {"//", "wg0", false},
      {"/wg0", "wg0", false},
      {"", "", true},
      {"", "wg0", false},
  };
  for (const auto& test : cases) {
    const auto pattern = Pattern::parse(test.pattern);
    ASSERT_TRUE(pattern.has_value()) << test.pattern;
    EXPECT_EQ(pattern->matches(test.name), test.matches) << test.pattern << " on " << test.name;
  }
}

TEST(Pattern, NamesTheExpressionThatDoesNotCompile) {
  const auto pattern = Pattern::parse("/wg(/");
  ASSERT_FALSE(pattern);
  EXPECT_EQ(pattern.error().code, Errc::malformed);
  EXPECT_THAT(pattern.error().where, StartsWith("/wg(/: "));
}

TEST(Selection, WantsWhatIsIncludedAndNotExcluded) {
  const struct {
    const char* what;
    Texts include, exclude;
    const char *name, *other;
    bool wanted;
  } cases[] = {
      {"no lists", {}, {}, "wg0", "", true},
      {"listed", {"wg0", "wg1"}, {}, "wg1", "", true},
      {"not listed", {"wg0"}, {}, "wg1", "", false},
      {"excluded", {}, {"/^test/"}, "test1", "", false},
      {"not excluded", {}, {"/^test/"}, "wg0", "", true},
      {"listed and excluded", {"/wg/"}, {"wg1"}, "wg1", "", false},
      {"listed by its second name", {"laptop"}, {}, "KEY", "laptop", true},
      {"excluded by its second name", {"KEY"}, {"laptop"}, "KEY", "laptop", false},
      {"no second name to match", {"/^$/"}, {}, "KEY", "", false},
  };
  for (const auto& test : cases) {
    EXPECT_EQ(Selection(test.include, test.exclude).wants(test.name, test.other), test.wanted)
        << test.what;
  }
}

TEST(Selection, PassesOverWhatDoesNotCompile) {
  EXPECT_TRUE(Selection({"/(/", "wg0"}, {}).wants("wg0"));
  EXPECT_FALSE(Selection({"/(/", "wg0"}, {}).wants("wg1"));
}

TEST(Selection, IsEmptyWithoutPatterns) {
  EXPECT_TRUE(Selection().empty());
  EXPECT_FALSE(Selection({"wg0"}, {}).empty());
}

}  // namespace
}  // namespace wgvitals
