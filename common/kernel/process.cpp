#include "common/kernel/process.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <limits>
#include <string>
#include <system_error>

#include "common/base/text.h"
#include "common/kernel/task.h"

namespace wgvitals::kernel {
namespace {

constexpr std::int64_t most_threads = 512;  // some 5 us each

Error malformed(const Root& root, const std::string& path, const Error& error) {
  return {Errc::malformed, 0, root.full_path(path).string() + ": " + error.where};
}

// It went while it was read (fs/proc/base.c).
bool is_gone(const Error& error) { return error.code == Errc::absent || error.number == ESRCH; }

// To the nanosecond where the kernel has that.
Result<std::uint64_t> read_thread(const Root& root, const std::string& folder) {
  if (const auto text = root.read(folder + "/schedstat")) {
    if (const auto time = parse_schedstat(*text)) return *time;
  }
  const auto text = root.read(folder + "/stat");
  if (!text) return text.error();
  const auto stat = parse_task_stat(*text);
  if (!stat) return stat.error();
  return stat->cpu_ns;
}

// None where one cannot be read: passed over, it would later be taken for new.
std::vector<ThreadTime> read_threads(const Root& root, const std::string& process) {
  std::vector<ThreadTime> threads;
  const auto folder = process + "/task/";
  std::error_code error;
  for (std::filesystem::directory_iterator at(root.full_path(folder), error), end;
       !error && at != end; at.increment(error)) {
    const std::string name = at->path().filename();
    const auto id = text::to_number<std::uint32_t>(name);
    if (!id) continue;
    const auto time = read_thread(root, folder + name);
    if (time) {
      threads.push_back({*id, *time});
    } else if (!is_gone(time.error())) {
      return {};
    }
  }
  if (error) return {};
  std::sort(threads.begin(), threads.end(),
            [](const ThreadTime& one, const ThreadTime& two) { return one.id < two.id; });
  return threads;
}

}  // namespace

Result<ProcessUse> read_process(const Root& root, std::uint32_t id) {
  const auto folder = "proc/" + std::to_string(id);
  const auto text = root.read(folder + "/stat");
  if (!text) {
    if (is_gone(text.error())) return Error{Errc::absent, text.error().number, text.error().where};
    return text.error();
  }
  const auto stat = parse_task_stat(*text);
  if (!stat) return malformed(root, folder + "/stat", stat.error());
  const auto page = static_cast<std::uint64_t>(std::max(1L, ::sysconf(_SC_PAGESIZE)));
  const auto most_pages =
      static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()) / page;
  ProcessUse use;
  use.started = stat->started;
  use.cpu_ns = stat->cpu_ns;
  use.rss_bytes = static_cast<std::int64_t>(std::min(stat->rss_pages, most_pages) * page);
  use.threads = stat->threads;
  if (use.threads <= most_threads) use.thread_times = read_threads(root, folder);
  return use;
}

std::optional<std::uint64_t> derive_busiest_thread(std::span<const ThreadTime> before,
                                                   std::span<const ThreadTime> now) {
  if (before.empty() || now.empty()) return std::nullopt;
  std::uint64_t most = 0;
  for (const auto& thread : now) {
    const auto old = std::ranges::lower_bound(before, thread.id, {}, &ThreadTime::id);
    const auto spent = old == before.end() || old->id != thread.id ? 0 : old->cpu_ns;
    if (thread.cpu_ns > spent) most = std::max(most, thread.cpu_ns - spent);
  }
  return most;
}

}  // namespace wgvitals::kernel
