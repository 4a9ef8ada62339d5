#include "common/base/capabilities.h"

#include <gtest/gtest.h>
#include <linux/capability.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <fstream>
#include <string>
#include <thread>

namespace wgvitals {
namespace {

// A line of this thread's status, "CapEff:\t000001ffffffffff", as a number.
std::uint64_t status(const std::string& name) {
  std::ifstream file("/proc/thread-self/status");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(name)) return std::stoull(line.substr(name.size()), nullptr, 16);
  }
  ADD_FAILURE() << "no line " << name;
  return 0;
}

void drop_effective() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2]{};
  ASSERT_EQ(::syscall(SYS_capget, &header, data), 0);
  for (auto& half : data) half.effective = 0;
  ASSERT_EQ(::syscall(SYS_capset, &header, data), 0);
}

TEST(Capabilities, AreGrantedWithThoseThatAreThere) {
  EXPECT_EQ(to_grant(std::array{Capability::net_admin, Capability::bpf},
                     std::array{Capability::perfmon, Capability::bpf}),
            "setcap cap_net_admin,cap_perfmon,cap_bpf=p on the program, or "
            "AmbientCapabilities=CAP_PERFMON CAP_BPF (root: CapabilityBoundingSet=) in its unit");
}

// Capabilities are a thread's own, so this spoils nothing for other tests.
TEST(Capabilities, ThatWerePermittedBecomeEffective) {
  std::thread([] {
    const auto permitted = status("CapPrm:");
    drop_effective();
    EXPECT_EQ(status("CapEff:"), 0u);
    EXPECT_FALSE(has_capability(Capability::net_admin));
    EXPECT_FALSE(has_capability(Capability::sys_admin));
    raise_capabilities();
    EXPECT_EQ(status("CapEff:"), permitted);
  }).join();
}

TEST(Capabilities, AreThoseThatTheKernelShows) {
  const auto effective = status("CapEff:");
  for (const auto capability :
       {Capability::net_admin, Capability::net_raw, Capability::sys_admin}) {
    EXPECT_EQ(has_capability(capability),
              (effective >> static_cast<unsigned>(capability) & 1) != 0);
  }
}

}  // namespace
}  // namespace wgvitals
