// CPU time of kernel threads by the device that they work for, as far as their names tell: no
// right is needed, and it is an estimate.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/fd.h"
#include "common/base/files.h"
#include "common/base/result.h"
#include "common/kernel/task.h"

namespace wgvitals::kernel {

// CPU time, ns.
struct WorkTimes {
  std::uint64_t crypt_ns = 0;      // encryption, decryption, handing over to the socket
  std::uint64_t handshake_ns = 0;  // receive and send
  // Delivery of what was decrypted; empty where no thread does that (without threaded NAPI).
  std::optional<std::uint64_t> receive_ns;
};

struct DeviceWork {
  std::uint64_t id = 0;        // of this count: another one begins anew
  bool is_wireguards = false;  // else only threads of NAPI have this name, as any device's may
  WorkTimes all;
  std::map<unsigned, WorkTimes> cpus;  // by number, where asked for
  std::chrono::steady_clock::time_point moved;
};

// What threads took since the first look at them. A worker's name is that of its last work only, so
// all that it took since the last scan is counted for that: with a scan a second, on a tunnel that
// takes more than a hundredth of a CPU, 10 to 25 % too much (the workqueue's own time, and the
// interrupts on top of it), and less where others' work takes turns with WireGuard's. One thread.
class KernelThreads {
 public:
  using Clock = std::chrono::steady_clock;

  // `root` outlives this. `per_cpu` costs one more file for each thread that worked for WireGuard.
  KernelThreads(const Root& root, bool per_cpu);

  // Looks at 256 workers, and at 64 of the others, in turn; at a worker of others that was idle,
  // and at the list of all threads, every fourth second only, at a long list once in as many
  // seconds as it has hundreds. Fails where kernel threads cannot be seen.
  Result<Done> scan(Clock::time_point now);

  // By the name that the device had when it was made.
  const std::map<std::string, DeviceWork, std::less<>>& work() const { return work_; }
  // Tells whether work() is as it was.
  std::uint64_t changes() const { return changes_; }

 private:
  struct Thread {
    std::uint32_t id = 0;
    std::optional<std::uint64_t> spent_ns;  // when last looked at; empty: never
    Fd times, name;                         // files, kept open while there are few
    Clock::time_point next_look{};
    bool is_wireguards = false;  // by the last name that was read
    bool single = false;         // does one thing
    bool gone = false;
  };

  // Threads that are looked at in turn.
  struct Ring {
    std::vector<Thread> threads;
    std::size_t next = 0;
  };

  Result<Done> find_threads();
  Result<Done> list(Clock::time_point now);
  void meet_new(Clock::time_point now);
  bool meet(std::uint32_t id, Clock::time_point now);
  using Line = std::array<char, 1024>;
  std::string_view read(const Thread& thread, Fd& file, std::string_view name, Line& line);
  std::optional<std::uint64_t> read_spent(Thread& thread);
  void look_at(Ring& ring, std::size_t most, Clock::time_point now);
  void look_at(Thread& thread, Clock::time_point now);
  void add(const WorkLabel& label, std::uint32_t id, std::uint64_t gained, Clock::time_point now);
  DeviceWork& work_of(std::string_view device, Clock::time_point now);

  const Root& root_;
  bool per_cpu_;
  std::string times_;        // the file that tells a thread's CPU time
  std::uint64_t begun_ = 0;  // in ticks since boot
  KeptFile list_file_;
  Clock::time_point next_list_{};
  std::string list_;  // as it was last; empty: what it says is new
  Ring workers_;
  Ring single_;                     // threads that do one thing: NAPI, old rescuers
  std::set<std::uint32_t> known_;   // all threads, also those that are of no interest
  std::vector<std::uint32_t> new_;  // not looked at yet
  std::size_t open_files_ = 0;
  std::uint64_t next_work_ = 1;
  std::uint64_t changes_ = 0;
  std::map<std::string, DeviceWork, std::less<>> work_;
};

// A device that the kernel may have worked for.
struct WorkedFor {
  std::string_view name;                          // the first that it was seen under
  bool packets = false;                           // some passed since the first look at the threads
  std::chrono::steady_clock::time_point since{};  // when it was first seen
};

// Each device's work; empty where none was seen, or it cannot be told from another's: of two
// devices of one name (in two namespaces). What bears no device's name is the one device's that
// must have had work and has none, having been renamed; "wireguard%d" is of the one that the kernel
// named.
std::vector<std::optional<DeviceWork>> match_work(
    std::span<const WorkedFor> devices, const std::map<std::string, DeviceWork, std::less<>>& work);

}  // namespace wgvitals::kernel
