// Data packets that the kernel's WireGuard refuses and counts nowhere, seen by an eBPF program at
// the tracepoint of freed packets (ebpf/refused.bpf.c).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "common/base/files.h"
#include "common/base/result.h"
#include "common/model/devices.h"
#include "common/trace/programs_thread.h"
#include "common/trace/refused_maps.h"
#include "common/trace/work_paths.h"

namespace wgvitals::trace {

// Since the program was attached.
struct RefusedPackets {
  DeviceIdentity device;            // the index 0: of the socket's namespace, with this port
  std::uint16_t port = 0;           // 0 where the index is not
  std::uint64_t auth_failures = 0;  // not encrypted with the session's key, or damaged
  std::uint64_t replays = 0;        // authentic, but seen before or too old to tell
  std::uint64_t unknown_index = 0;  // of no session; by the port
};

// Adds what the program's map has under a key (struct refused_key): its values are one struct
// refused_counts a CPU. malformed where the bytes are no such things.
Result<Done> parse_refused(std::span<const std::byte> key, std::span<const std::byte> values,
                           std::vector<RefusedPackets>& refused);

// Empty where the kernel does not say where the members are.
std::optional<refused_settings> derive_refused_settings(const OffsetOf& offset_of);

// The program, while it is attached. Any thread may have it, one at a time.
class RefusedCounter {
 public:
  static constexpr const char* who = "trace_refused_data";  // the option that wants it

  // WireGuard's module must be there already. As slow as CryptoCpu, with its errors; absent also
  // without the BTF of the module.
  static Result<std::unique_ptr<RefusedCounter>> attach(const Root& root);
  ~RefusedCounter();  // detaches
  RefusedCounter(const RefusedCounter&) = delete;
  RefusedCounter& operator=(const RefusedCounter&) = delete;

  // Of those devices and ports that refused any.
  Result<std::vector<RefusedPackets>> read();

  // Makes room: a device or a port that is gone.
  void forget(const RefusedPackets& gone);

 private:
  struct Attached;
  explicit RefusedCounter(std::unique_ptr<Attached> attached);

  std::unique_ptr<Attached> attached_;
};

using RefusedThread = ProgramsThread<RefusedCounter>;

}  // namespace wgvitals::trace
