// What /proc tells of a thread or a process: proc_pid_stat(5), /proc/PID/schedstat.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "common/base/result.h"

namespace wgvitals::kernel {

// /proc/PID/stat of a process with all its threads, /proc/PID/task/TID/stat of one thread:
//
//   4170 (wireguard-go) S 4169 4170 4170 0 -1 4194560 2451 0 0 0 118 94 0 0 20 0 9 0 81234
//   1272725504 2218 18446744073709551615 ... 17 1 0 0 0 0 0 0 0 0 0 0 0 0 0
struct TaskStat {
  std::string_view name;          // of the parsed text; a kernel worker's with what it works for
  std::uint64_t cpu_ns = 0;       // user and system; a process' with that of its ended threads
  std::uint64_t started = 0;      // in ticks (USER_HZ) since boot
  std::int64_t threads = 0;       // of the process
  std::uint64_t rss_pages = 0;    // of the process
  std::uint32_t flags = 0;        // PF_KTHREAD and others (include/linux/sched.h)
  std::optional<unsigned> cpu{};  // where it ran last
};

// malformed where a column that is looked at is missing or no number.
Result<TaskStat> parse_task_stat(std::string_view text);

bool is_kernel_thread(const TaskStat& stat);

// The time on a CPU in nanoseconds, of "390218812 1702312 208" (kernel/sched/core.c). malformed
// where it is no number.
Result<std::uint64_t> parse_schedstat(std::string_view text);

// What a kernel thread works for. The device's name is the one that it had when it was made: the
// workqueue keeps it. "wireguard%d" of one that the kernel was left to name.
struct WorkLabel {
  enum class Work : std::uint8_t { crypt, handshake, receive };
  Work work = Work::crypt;
  std::string_view device;      // of the parsed text
  std::optional<unsigned> cpu;  // that the thread is bound to
  friend bool operator==(const WorkLabel&, const WorkLabel&) = default;
};

// Of a worker, whose name is that of the last thing it did ('-') or of what it does now ('+'), as
// of old kernels' rescuers, and of the threads of threaded NAPI:
//
//   kworker/1:2-wg-crypt-wg0   kworker/u8:3+wg-kex-wg0   kworker/R-wg-cr+wg-crypt-wg0
//   wg-crypt-wg0   napi/wg0-8193
//
// Empty where it is no work of WireGuard (NAPI threads of other devices look the same), and where
// the name was cut so that the device cannot be told. (format_worker_id and wq_worker_comm in
// kernel/workqueue.c, napi_kthread_create in net/core/dev.c)
std::optional<WorkLabel> parse_work_label(std::string_view name);

// Workers that may at some time work for WireGuard: not those of high priority, nor the rescuers of
// other queues.
bool is_worker(std::string_view name);

// Before Linux 6.10 a workqueue's name has room for 23 bytes, so that behind "wg-crypt-" a device's
// name of 15 loses its last one (WQ_NAME_LEN in include/linux/workqueue.h).
bool is_name_of(std::string_view label_device, std::string_view device);

}  // namespace wgvitals::kernel
