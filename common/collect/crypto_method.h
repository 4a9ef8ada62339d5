// The ways to measure the CPU time that WireGuard takes, behind one seam. The collector asks them
// in its order, the best first; the first that has an answer for a device is told.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "common/base/report.h"
#include "common/base/result.h"
#include "common/collect/collector.h"
#include "common/kernel/process.h"
#include "common/model/devices.h"

namespace wgvitals::collect {

// CPU time since the method began to count, ns. What it cannot split is absent.
struct CryptoTimes {
  std::optional<std::uint64_t> encrypt_ns, decrypt_ns, transmit_ns, handshake_ns, receive_ns;
  std::uint64_t total_ns = 0;
};

struct CryptoReading {
  std::chrono::steady_clock::time_point at;  // when it was measured
  std::uint64_t begun = 0;                   // what has another is no continuation of it
  CryptoTimes all;
  std::map<unsigned, CryptoTimes> cpus;       // by number, where asked for and told apart
  std::optional<kernel::ProcessUse> process;  // of a userspace implementation
};

// One thread, the engine's.
class CryptoMethod {
 public:
  virtual ~CryptoMethod() = default;

  virtual std::string_view name() const = 0;  // the tag's value

  // Takes in what there is of the devices that no better method serves (`left`, of `devices`).
  // Reports what a user would have to mend.
  virtual void read(std::span<const SeenDevice* const> left, const Devices& devices,
                    Report& report) = 0;

  // What it measured of a device, valid until the next read; null: nothing yet. absent: it measures
  // no devices of that kind, or not this one; any other error says, with the method's name, why a
  // lesser one is told in its place, or none.
  virtual Result<const CryptoReading*> reading_of(const SeenDevice& device) const = 0;
};

// In-kernel devices by eBPF: exact, and split by the kind of work. Needs CAP_BPF and CAP_PERFMON.
std::unique_ptr<CryptoMethod> make_ebpf_method(const Services& services, bool per_cpu);

// In-kernel devices by their workers' names: an estimate, which needs no right.
std::unique_ptr<CryptoMethod> make_kworker_method(const Services& services, bool per_cpu);

// Less than a hundredth of a CPU: the estimate is not followed closely then, as looking would cost
// more than what is seen is worth.
constexpr bool is_at_rest(std::uint64_t gained_ns, std::chrono::nanoseconds passed) {
  return 100 * gained_ns < static_cast<std::uint64_t>(passed.count());
}

// Userspace devices by their process.
std::unique_ptr<CryptoMethod> make_process_method(const Services& services);

// The collector, with these methods.
std::unique_ptr<Collector> make_crypto_collector(std::vector<std::unique_ptr<CryptoMethod>> methods,
                                                 const Services& services);

}  // namespace wgvitals::collect
