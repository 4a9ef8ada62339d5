#include "common/trace/work_paths.h"

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <utility>

namespace wgvitals::trace {
namespace {

// As Debian's 6.1 has them on x86-64; only their order and distances matter.
std::map<std::pair<std::string, std::string>, std::uint32_t> layout() {
  return {{{"wg_device", "dev"}, 0},
          {{"wg_device", "encrypt_queue"}, 64},
          {{"wg_device", "decrypt_queue"}, 320},
          {{"wg_device", "handshake_queue"}, 576},
          {{"multicore_worker", "ptr"}, 0},
          {{"multicore_worker", "work"}, 8},
          {{"wg_peer", "device"}, 0},
          {{"wg_peer", "transmit_handshake_work"}, 800},
          {{"wg_peer", "transmit_packet_work"}, 864}};
}

WorkPaths paths_of(const decltype(layout())& members) {
  return derive_paths([&](const char* type, const char* member) -> std::optional<std::uint32_t> {
    const auto found = members.find({type, member});
    if (found == members.end()) return std::nullopt;
    return found->second;
  });
}

// The kernel's memory, where it holds pointers, and the way that the eBPF program goes through it.
using Memory = std::map<std::uint64_t, std::uint64_t>;

std::uint64_t end_of(const Memory& memory, std::uint64_t work, const work_path& path) {
  const auto at = [&](std::uint64_t address, std::int32_t beside) {
    const auto found = memory.find(address + static_cast<std::uint64_t>(std::int64_t{beside}));
    return found == memory.end() ? 0 : found->second;
  };
  return at(at(work, path.first), path.second);
}

TEST(DerivePaths, LeadFromEachWorkToTheDevice) {
  constexpr std::uint64_t net_device = 0xd000, wg = 0x10000, peer = 0x20000, worker = 0x30000;
  const auto members = layout();
  const auto paths = paths_of(members);
  const std::pair<const char*, work_kind> of_queues[] = {{"encrypt_queue", work_encrypt},
                                                         {"decrypt_queue", work_decrypt},
                                                         {"handshake_queue", work_handshake}};
  for (const auto& [queue, kind] : of_queues) {
    const Memory memory{{wg, net_device}, {worker, wg + members.at({"wg_device", queue})}};
    int led = 0;
    for (const auto& path : paths) {
      ASSERT_EQ(path.known, 1u);
      if (end_of(memory, worker + 8, path) != net_device) continue;
      EXPECT_EQ(path.kind, static_cast<__u32>(kind)) << queue;
      ++led;
    }
    EXPECT_EQ(led, 1) << queue;
  }
  const std::pair<const char*, work_kind> of_peer[] = {{"transmit_packet_work", work_transmit},
                                                       {"transmit_handshake_work", work_handshake}};
  for (const auto& [work, kind] : of_peer) {
    const Memory memory{{wg, net_device}, {peer, wg}};
    int led = 0;
    for (const auto& path : paths) {
      if (end_of(memory, peer + members.at({"wg_peer", work}), path) != net_device) continue;
      EXPECT_EQ(path.kind, static_cast<__u32>(kind)) << work;
      ++led;
    }
    EXPECT_EQ(led, 1) << work;
  }
}

TEST(DerivePaths, LackWhatTheKernelLacks) {
  auto members = layout();
  members.erase({"wg_device", "handshake_queue"});
  int known = 0;
  for (const auto& path : paths_of(members)) known += static_cast<int>(path.known);
  EXPECT_EQ(known, work_path_count - 1);
  for (const auto& path : paths_of({})) EXPECT_EQ(path.known, 0u);  // no types of WireGuard's
}

}  // namespace
}  // namespace wgvitals::trace
