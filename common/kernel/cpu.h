// CPUs: how busy each is, on which of them a network card interrupts, whether heat slows them.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "common/base/files.h"
#include "common/base/result.h"

namespace wgvitals::kernel {

// A line "cpu<N>" of /proc/stat, in ticks since the start (fs/proc/stat.c).
struct CpuTimes {
  unsigned cpu = 0;
  std::uint64_t total = 0;  // guests' time is part of user, and counted once
  std::uint64_t idle = 0;   // waiting for a disk included: the CPU is free for others
  std::uint64_t softirq = 0;
  friend bool operator==(const CpuTimes&, const CpuTimes&) = default;
};

//   cpu  3260430 514755 491670 1467858 6795 0 2719 7844 0 0
//   cpu0 1634296 238008 240431 756100 1599 0 845 3919 0 0
// CPUs that are off have no line. Old kernels have fewer columns, new ones may have more.
Result<std::vector<CpuTimes>> parse_stat(std::string_view text);

struct CpuLoad {
  unsigned busiest = 0;        // its number
  double busy_percent = 0;     // of the busiest
  double softirq_percent = 0;  // of the CPU that has the most of it
};

// Between two readings. Empty where no CPU is in both, or no time passed.
std::optional<CpuLoad> derive_load(std::span<const CpuTimes> before, std::span<const CpuTimes> now);

// A counter that each CPU has, as one: the sum neither goes back nor jumps when CPUs are put off
// and on. `Count` is as wide as the kernel's, which may wrap.
template <class Count>
class CpuSum {
 public:
  // A reading of the CPUs that are on: things with a member `cpu`, and one that is the count.
  template <class Cpus, class Cpu>
  void take(const Cpus& cpus, Count Cpu::*count) {
    const bool first = last_.empty();
    for (const Cpu& one : cpus) {
      const Count now = one.*count;
      // What one that comes later counted before is from before its time.
      auto& last = last_.try_emplace(one.cpu, first ? Count{0} : now).first->second;
      sum_ += static_cast<Count>(now - last);
      last = now;
    }
  }
  std::uint64_t sum() const { return sum_; }

 private:
  std::map<unsigned, Count> last_;  // by CPU
  std::uint64_t sum_ = 0;
};

struct CpuThrottles {
  unsigned cpu = 0;
  std::uint64_t count = 0;
  friend bool operator==(const CpuThrottles&, const CpuThrottles&) = default;
};

// Times that each of these CPUs was slowed by heat (thermal_throttle/core_throttle_count). absent
// where the machine does not count it (other than Intel, or virtual).
Result<std::vector<CpuThrottles>> read_core_throttles(const Root& root,
                                                      std::span<const CpuTimes> cpus);

// Interrupts of each CPU; each count wraps at 2^32.
using InterruptCounts = std::vector<std::uint32_t>;

// /sys/kernel/irq/<number>/per_cpu_count, "0,49418": the same numbers as in /proc/interrupts, for
// one interrupt, so that a machine with thousands costs no more.
Result<InterruptCounts> parse_per_cpu_count(std::string_view text);

// The interrupts of a link's card; of a bond, bridge or VLAN those of the links below it. At most
// `most`; empty for links without a card.
std::vector<unsigned> find_interrupts(const Root& root, std::string_view link, std::size_t most);

// Interrupts by number, as they were counted. Those that are gone are left out.
struct CountedInterrupt {
  unsigned number = 0;
  InterruptCounts counts;
};
Result<std::vector<CountedInterrupt>> read_interrupts(const Root& root,
                                                      std::span<const unsigned> numbers);

// The busiest CPU's share of all that came between two readings. Empty where none came.
std::optional<double> derive_busiest_share(std::span<const CountedInterrupt> before,
                                           std::span<const CountedInterrupt> now);

}  // namespace wgvitals::kernel
