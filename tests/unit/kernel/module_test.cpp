#include "common/kernel/module.h"

#include <gmock/gmock.h>

#include <filesystem>

#include "tests/support/temp_root.h"

namespace wgvitals::kernel {
namespace {

using testing::HasSubstr;
using testing::Not;
using State = KernelModule::State;

class KernelModuleTest : public testing::Test {
 protected:
  KernelModuleTest() {
    top_.with("proc/stat", "").with("proc/modules", "wireguard 90112 0 - Live 0x0\n");
    top_.with("proc/sys/kernel/osrelease", "6.1.0-56-amd64\n");
  }
  void build_in(const char* names) {
    top_.with("lib/modules/6.1.0-56-amd64/modules.builtin", names);
  }
  State look() { return KernelModule(root_, "udp_diag").look(); }

  test::TempRoot top_;
  const Root root_ = top_.root();
};

TEST_F(KernelModuleTest, OfAKernelWithoutModulesAllIsThere) {
  std::filesystem::remove(root_.full_path("proc/modules"));
  EXPECT_EQ(look(), State::there);
  std::filesystem::remove(root_.full_path("proc/stat"));  // only processes are shown
  EXPECT_EQ(look(), State::untold);
}

TEST_F(KernelModuleTest, IsBuiltInOrNot) {
  build_in("kernel/net/ipv4/tcp_diag.ko\n");
  EXPECT_EQ(look(), State::missing);
  build_in("kernel/net/ipv4/tcp_diag.ko\nkernel/net/ipv4/udp_diag.ko\n");
  EXPECT_EQ(look(), State::there);
}

TEST_F(KernelModuleTest, WhatIsBuiltInIsReadOnceAndWhatIsLoadedEachTime) {
  build_in("kernel/net/ipv4/tcp_diag.ko\n");
  KernelModule module(root_, "udp_diag");
  EXPECT_EQ(module.look(), State::missing);
  EXPECT_EQ(module.advice(), "the kernel's module udp_diag is not loaded: modprobe udp_diag");
  build_in("kernel/net/ipv4/udp_diag.ko\n");
  EXPECT_EQ(module.look(), State::missing);
  top_.with("sys/module/udp_diag/refcnt", "0\n");
  EXPECT_EQ(module.look(), State::there);
}

TEST_F(KernelModuleTest, AListThatCannotBeReadIsSaid) {
  KernelModule module(root_, "udp_diag");
  EXPECT_EQ(module.look(), State::untold);
  EXPECT_THAT(module.advice(), HasSubstr("/lib/modules/6.1.0-56-amd64/modules.builtin"));
  EXPECT_THAT(module.advice(), Not(HasSubstr("is not loaded")));
}

}  // namespace
}  // namespace wgvitals::kernel
