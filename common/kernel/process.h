// What a process takes of the host: CPU time, memory, threads.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "common/base/files.h"
#include "common/base/result.h"

namespace wgvitals::kernel {

struct ThreadTime {
  std::uint32_t id = 0;
  std::uint64_t cpu_ns = 0;
  friend bool operator==(const ThreadTime&, const ThreadTime&) = default;
};

struct ProcessUse {
  std::uint64_t started = 0;  // in ticks since boot: with its id, its identity
  std::uint64_t cpu_ns = 0;   // since then, with that of its ended threads
  std::int64_t rss_bytes = 0;
  std::int64_t threads = 0;
  std::vector<ThreadTime> thread_times;  // by id; empty where there are more than 512
};

// absent where there is none.
Result<ProcessUse> read_process(const Root& root, std::uint32_t id);

// What the busiest thread took between two readings of a process. A thread that was not there
// before took all of its time since. Empty where one of the two has no threads.
std::optional<std::uint64_t> derive_busiest_thread(std::span<const ThreadTime> before,
                                                   std::span<const ThreadTime> now);

}  // namespace wgvitals::kernel
