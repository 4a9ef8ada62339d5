// The CPU time that the kernel's WireGuard takes, measured by eBPF programs at the tracepoints of
// workqueues, the scheduler and softirqs (ebpf/crypto_cpu.bpf.c). Exact but for hard interrupts,
// which are part of what they interrupt, and on a kernel with real-time preemption, where softirqs
// are threads and only nearly subtracted.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "common/base/files.h"
#include "common/base/result.h"
#include "common/model/devices.h"
#include "common/trace/programs_thread.h"

namespace wgvitals::trace {

enum class Work : std::uint8_t {
  encrypt,
  decrypt,
  transmit,   // of what is encrypted
  handshake,  // begun, answered, finished
  receive,    // of what is decrypted, where NAPI is threaded; else it is a softirq's, and absent
  packets,    // encrypt, decrypt or transmit, where the kernel does not let us tell
};

// What one CPU did of one work of one device since we were attached: never less than before.
struct CryptoTime {
  DeviceIdentity device;
  std::string queue;  // instead of it, its workqueue's name: where only that is known; see is_of
  Work work{};
  unsigned cpu = 0;
  std::uint64_t ns = 0;    // without the softirqs that ran on top
  std::uint64_t runs = 0;  // works that ended; receive: 0
};

struct CryptoTimes {
  std::vector<CryptoTime> times;  // those that are not 0
  bool split = false;             // no work is told as `packets`
  std::uint64_t missed = 0;  // works that found no room in a map: 0, or the times are too small
};

// Whether they are of one device and work: only the CPU differs.
bool is_alike(const CryptoTime& one, const CryptoTime& other);

// Whether the time is the device's. A workqueue has the name that the device was made with, of
// which kernels before 6.10 keep 14 characters, and says nothing of the namespace.
bool is_of(const CryptoTime& time, const SeenDevice& device);

// Adds what the programs' map has under a key (struct work_key): its values are one struct
// work_time a CPU. malformed where the bytes are no such things.
Result<Done> parse_times(std::span<const std::byte> key, std::span<const std::byte> values,
                         std::vector<CryptoTime>& times);

// The programs, while they are attached. Any thread may have it, one at a time.
class CryptoCpu {
 public:
  static constexpr const char* who = "ebpf";

  enum class Watch : std::uint8_t {
    wireguard,
    all_workqueues,  // each a device of its name, all its works `packets`: for kernels without it
  };

  // Takes 50 ms, or a second on a busy host: not for the engine's thread, nor a host's. WireGuard
  // itself must be there already, or its works are known by name only. Errors as find_obstacle's;
  // absent also without libbpf, or where we were built without eBPF; io with the verifier's words.
  static Result<std::unique_ptr<CryptoCpu>> attach(const Root& root,
                                                   Watch watch = Watch::wireguard);
  ~CryptoCpu();  // detaches, as slowly
  CryptoCpu(const CryptoCpu&) = delete;
  CryptoCpu& operator=(const CryptoCpu&) = delete;

  // Some system calls a device: tens of microseconds.
  Result<CryptoTimes> read();

  // Makes room: a device that is gone, as read() told of it.
  void forget(const CryptoTime& gone);

 private:
  struct Attached;
  explicit CryptoCpu(std::unique_ptr<Attached> attached);

  std::unique_ptr<Attached> attached_;
};

// Of the engine's thread.
using CryptoCpuThread = ProgramsThread<CryptoCpu>;

}  // namespace wgvitals::trace
