#include "common/kernel/namespace.h"

#include <gtest/gtest.h>
#include <linux/netlink.h>
#include <sys/stat.h>

#include "common/kernel/netlink.h"
#include "tests/support/temp_root.h"

namespace wgvitals::kernel {
namespace {

TEST(NamespacePath, IsBelowRunNetnsUnlessAPathIsGiven) {
  const Root root("/top");
  EXPECT_EQ(namespace_path(root, "blue"), "/top/run/netns/blue");
  EXPECT_EQ(namespace_path(root, "/proc/1/ns/net"), "/top/proc/1/ns/net");
}

TEST(NamespaceInode, IsTheFilesOwn) {
  test::TempRoot files;
  files.with("run/netns/blue", "");
  const auto path = namespace_path(files.root(), "blue");
  const auto inode = namespace_inode(path);
  ASSERT_TRUE(inode);
  struct stat status {};
  ASSERT_EQ(::stat(path.c_str(), &status), 0);
  EXPECT_EQ(*inode, status.st_ino);
  EXPECT_EQ(namespace_inode(files.root().full_path("none")).error().code, Errc::absent);
}

TEST(OpenIn, FailsWhereNoNamespaceIs) {
  test::TempRoot files;
  const auto open_route = [] { return open_netlink_socket(NETLINK_ROUTE); };
  files.with("file", "");
  EXPECT_EQ(open_in(files.root().full_path("none"), open_route).error().code, Errc::absent);
  EXPECT_FALSE(open_in(files.root().full_path("file"), open_route));
}

}  // namespace
}  // namespace wgvitals::kernel
