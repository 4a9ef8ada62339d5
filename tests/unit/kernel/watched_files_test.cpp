#include "common/kernel/watched_files.h"

#include <gmock/gmock.h>

#include "tests/support/kept_report.h"
#include "tests/support/temp_root.h"

namespace wgvitals::kernel {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

class WatchedFilesTest : public testing::Test {
 protected:
  // Names of what changed, without the folder.
  std::vector<std::string> changed() {
    report_ = {};
    std::vector<std::string> names;
    for (const auto& path : watched_.changed(report_)) names.push_back(path.filename());
    return names;
  }
  std::filesystem::path path(const char* below) const { return files_.root().full_path(below); }

  test::TempRoot files_;
  Root root_ = files_.root();
  WatchedFiles watched_{root_, {"/etc/wireguard/*.conf", "/etc/wireguard/wg0.conf", "names.toml"}};
  test::KeptReport report_;
};

TEST_F(WatchedFilesTest, FindsNothingWhereNothingIs) {
  EXPECT_THAT(changed(), IsEmpty());
  EXPECT_THAT(report_.texts, IsEmpty());
  EXPECT_FALSE(watched_.altered());
}

TEST_F(WatchedFilesTest, TellsEveryFileOnceWhateverPatternNamesIt) {
  files_.with("etc/wireguard/wg0.conf", "a").with("etc/wireguard/wg1.conf", "b");
  files_.with("etc/wireguard/wg1.conf.old", "c").with("etc/wireguard/.wg2.conf", "d");
  files_.with("names.toml", "e");
  EXPECT_THAT(changed(), UnorderedElementsAre("wg0.conf", "wg1.conf", "names.toml"));
  EXPECT_TRUE(watched_.altered());
  EXPECT_TRUE(watched_.present(path("etc/wireguard/wg0.conf")));
  EXPECT_THAT(changed(), IsEmpty());
  EXPECT_FALSE(watched_.altered());
}

TEST_F(WatchedFilesTest, NoticesWhatChangedInAnyWay) {
  files_.with("names.toml", "one");
  (void)changed();
  files_.with("names.toml", "another");
  EXPECT_THAT(changed(), UnorderedElementsAre("names.toml"));

  files_.with("new.toml", "replaced");  // of the same size as one below
  std::filesystem::rename(path("new.toml"), path("names.toml"));
  EXPECT_THAT(changed(), UnorderedElementsAre("names.toml"));

  std::filesystem::permissions(path("names.toml"), std::filesystem::perms::owner_read);
  EXPECT_THAT(changed(), UnorderedElementsAre("names.toml"));
  EXPECT_THAT(changed(), IsEmpty());
}

TEST_F(WatchedFilesTest, NoticesThatAFileIsGoneAndThatItCameBack) {
  files_.with("names.toml", "one");
  (void)changed();
  std::filesystem::remove(path("names.toml"));
  EXPECT_THAT(changed(), IsEmpty());
  EXPECT_TRUE(watched_.altered());
  EXPECT_FALSE(watched_.present(path("names.toml")));
  EXPECT_THAT(changed(), IsEmpty());
  EXPECT_FALSE(watched_.altered());
  files_.with("names.toml", "one");
  EXPECT_THAT(changed(), UnorderedElementsAre("names.toml"));
}

TEST_F(WatchedFilesTest, WaitsForAFileThatIsStillEmpty) {
  files_.with("names.toml", "");
  EXPECT_THAT(changed(), IsEmpty());
  EXPECT_FALSE(watched_.present(path("names.toml")));
  files_.with("names.toml", "text");
  EXPECT_THAT(changed(), UnorderedElementsAre("names.toml"));
}

TEST_F(WatchedFilesTest, PassesOverWhatIsNoFile) {
  std::filesystem::create_directories(path("etc/wireguard/folder.conf"));
  std::filesystem::create_symlink("nowhere", path("etc/wireguard/dangling.conf"));
  EXPECT_THAT(changed(), IsEmpty());
  EXPECT_THAT(report_.texts, IsEmpty());
}

TEST_F(WatchedFilesTest, ReportsWhatIsMeantToBeAFileAndIsNone) {
  std::filesystem::create_directories(path("names.toml"));
  EXPECT_THAT(changed(), IsEmpty());
  EXPECT_THAT(report_.texts, ElementsAre(HasSubstr("names.toml: not a file")));
}

TEST_F(WatchedFilesTest, ReportsWhatCannotBeLookedAt) {
  files_.with("etc/wireguard/wg0.conf", "a");
  std::filesystem::create_symlink("names.toml", path("names.toml"));
  EXPECT_THAT(changed(), UnorderedElementsAre("wg0.conf"));
  EXPECT_THAT(report_.texts, ElementsAre(HasSubstr("names.toml: Too many levels")));
}

TEST_F(WatchedFilesTest, FollowsLinksToFiles) {
  files_.with("elsewhere", "text");
  std::filesystem::create_symlink(path("elsewhere"), path("names.toml"));
  EXPECT_THAT(changed(), UnorderedElementsAre("names.toml"));
}

TEST_F(WatchedFilesTest, ReportsAFolderThatCannotBeListed) {
  std::filesystem::create_directories(path("etc"));
  std::filesystem::create_symlink("wireguard", path("etc/wireguard"));  // ELOOP, for root also
  files_.with("names.toml", "text");
  EXPECT_THAT(changed(), UnorderedElementsAre("names.toml"));
  EXPECT_EQ(report_.codes.size(), 2u);  // of both patterns
  EXPECT_EQ(report_.codes.front(), Errc::io);
}

}  // namespace
}  // namespace wgvitals::kernel
