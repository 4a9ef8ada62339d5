#include "common/config/load.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/temp_root.h"

namespace wgvitals::config {
namespace {

using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr Option text{"uapi_dir", Takes::text, "/run", "x"};
constexpr Option whole{"field_max", Takes::whole, "64", "x", 0, 1024};

Loaded load(std::string_view content) {
  test::TempRoot temp;
  temp.with("etc/x.toml", content);
  return load_toml(temp.root(), "/etc/x.toml", {{&text, &whole}});
}

TEST(LoadToml, GivesTheSettingsOfAFile) {
  const auto loaded = load("[[inputs.wgvitals]]\nuapi_dir = \"/elsewhere\"\n");
  EXPECT_EQ(loaded.settings.text(text), "/elsewhere");
  EXPECT_THAT(loaded.problems, IsEmpty());
  EXPECT_THAT(loaded.fatal, IsEmpty());
}

TEST(LoadToml, KeepsTheRestWhereAnOptionIsWrong) {
  const auto loaded = load("[[inputs.wgvitals]]\nuapi_dir = \"/elsewhere\"\nfield_max = -1\n");
  EXPECT_EQ(loaded.settings.text(text), "/elsewhere");
  EXPECT_EQ(loaded.settings.whole(whole), 64);
  ASSERT_EQ(loaded.problems.size(), 1u);
  EXPECT_EQ(loaded.problems[0].line, 3);
  EXPECT_THAT(loaded.fatal, IsEmpty());
}

TEST(LoadToml, LeavesTheFallbacksOfABrokenFile) {
  const auto loaded = load("uapi_dir = \"/elsewhere\"\nbroken\n");
  EXPECT_EQ(loaded.settings.text(text), "/run");
  EXPECT_THAT(loaded.fatal, ElementsAre(HasSubstr("x.toml:2: not TOML: ")));
}

TEST(LoadToml, LeavesTheFallbacksWhereThereIsNoFile) {
  test::TempRoot temp;
  const auto loaded = load_toml(temp.root(), "/etc/x.toml", {{&text, &whole}});
  EXPECT_EQ(loaded.settings.text(text), "/run");
  EXPECT_THAT(loaded.fatal, ElementsAre(EndsWith("etc/x.toml: No such file or directory")));
}

}  // namespace
}  // namespace wgvitals::config
