#include "common/kernel/task.h"

#include <linux/if.h>
#include <unistd.h>

#include <array>
#include <limits>
#include <string>

#include "common/base/text.h"

namespace wgvitals::kernel {
namespace {

constexpr std::uint32_t pf_kthread = 0x00200000;  // include/linux/sched.h
constexpr std::size_t longest_comm = 15;          // TASK_COMM_LEN, without its end

// Columns as proc_pid_stat(5) numbers them.
enum Column : std::size_t {
  column_state = 3,
  column_flags = 9,
  column_utime = 14,
  column_stime = 15,
  column_threads = 20,
  column_starttime = 22,
  column_rss = 24,
  column_processor = 39,
};

Error malformed(const char* what) { return {Errc::malformed, 0, what}; }

template <class Number>
bool get(const std::array<std::string_view, column_processor + 1>& columns, Column column,
         Number& number) {
  const auto parsed = text::to_number<Number>(columns[column]);
  if (parsed) number = *parsed;
  return parsed.has_value();
}

std::uint64_t ns_a_tick() {
  const auto hertz = ::sysconf(_SC_CLK_TCK);
  return 1'000'000'000 / static_cast<std::uint64_t>(hertz > 0 ? hertz : 100);
}

// "1:2", "u8:3", "R-wg-cr": in front of what the worker works for.
struct WorkerId {
  std::string_view id;
  std::string_view work;  // empty: nothing yet
};

std::optional<WorkerId> split_worker(std::string_view name) {
  constexpr std::string_view prefix = "kworker/";
  if (!name.starts_with(prefix)) return std::nullopt;
  name.remove_prefix(prefix.size());
  // A rescuer's own name has a '-', and is followed by '+' only.
  const auto end = name.find_first_of(name.starts_with("R-") ? "+" : "+-");
  if (end == std::string_view::npos) return WorkerId{name, {}};
  return WorkerId{name.substr(0, end), name.substr(end + 1)};
}

std::optional<WorkLabel> parse_workqueue(std::string_view name) {
  constexpr std::string_view crypt = "wg-crypt-", handshake = "wg-kex-";
  WorkLabel label;
  if (name.starts_with(crypt)) {
    label.device = name.substr(crypt.size());
  } else if (name.starts_with(handshake)) {
    label.work = WorkLabel::Work::handshake;
    label.device = name.substr(handshake.size());
  }
  if (label.device.empty()) return std::nullopt;
  return label;
}

}  // namespace

Result<TaskStat> parse_task_stat(std::string_view text) {
  // A name may hold anything, also blanks and ')'.
  const auto begin = text.find('('), end = text.rfind(')');
  if (begin == std::string_view::npos || end == std::string_view::npos || end < begin) {
    return malformed("no name in parentheses");
  }
  TaskStat stat;
  stat.name = text.substr(begin + 1, end - begin - 1);
  auto rest = text::trim(text.substr(end + 1));
  std::array<std::string_view, column_processor + 1> columns{};
  for (std::size_t column = column_state; column < columns.size(); ++column) {
    const auto word = text::next_word(rest);
    if (!word) break;
    columns[column] = *word;
  }
  std::uint64_t user = 0, system = 0;
  if (!get(columns, column_flags, stat.flags) || !get(columns, column_utime, user) ||
      !get(columns, column_stime, system) || !get(columns, column_threads, stat.threads) ||
      !get(columns, column_starttime, stat.started) || !get(columns, column_rss, stat.rss_pages)) {
    return malformed("a column is missing or no number");
  }
  const auto most_ticks = std::numeric_limits<std::uint64_t>::max() / ns_a_tick() / 2;
  if (user > most_ticks || system > most_ticks) return malformed("more CPU time than there can be");
  stat.cpu_ns = (user + system) * ns_a_tick();
  if (unsigned cpu = 0; get(columns, column_processor, cpu)) stat.cpu = cpu;
  return stat;
}

bool is_kernel_thread(const TaskStat& stat) { return (stat.flags & pf_kthread) != 0; }

Result<std::uint64_t> parse_schedstat(std::string_view text) {
  text = text::trim(text);
  const auto time = text::to_number<std::uint64_t>(text::next_word(text).value_or(""));
  if (!time) return malformed("no time");
  return *time;
}

std::optional<WorkLabel> parse_work_label(std::string_view name) {
  constexpr std::string_view napi = "napi/";
  if (name.starts_with(napi)) {
    name.remove_prefix(napi.size());
    const auto dash = name.rfind('-');
    if (dash == std::string_view::npos || dash == 0) return std::nullopt;
    if (!text::to_number<std::uint32_t>(name.substr(dash + 1))) return std::nullopt;  // was cut
    return WorkLabel{WorkLabel::Work::receive, name.substr(0, dash), std::nullopt};
  }
  if (const auto worker = split_worker(name)) {
    auto label = parse_workqueue(worker->work);
    if (label) {
      label->cpu = text::to_number<unsigned>(worker->id.substr(0, worker->id.find(':')));
    }
    return label;
  }
  // While it rescues, the whole name of the queue stands behind its own.
  if (const auto plus = name.find("+wg-"); plus != std::string_view::npos) {
    return parse_workqueue(name.substr(plus + 1));
  }
  if (name.size() >= longest_comm) return std::nullopt;
  return parse_workqueue(name);
}

bool is_worker(std::string_view name) {
  const auto worker = split_worker(name);
  if (!worker || worker->id.ends_with('H')) return false;
  return !worker->id.starts_with("R-") || worker->id.starts_with("R-wg-");
}

bool is_name_of(std::string_view label_device, std::string_view device) {
  constexpr std::size_t longest_name = IFNAMSIZ - 1;
  if (device.size() == longest_name && label_device.size() == longest_name - 1) {
    return device.starts_with(label_device);
  }
  return device == label_device;
}

}  // namespace wgvitals::kernel
