#include "common/kernel/kernel_threads.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <utility>

#include "common/base/text.h"

namespace wgvitals::kernel {
namespace {

constexpr std::string_view thread_list = "proc/2/task/2/children";  // of kthreadd
constexpr std::size_t largest_list = 8 << 20;
constexpr std::chrono::milliseconds shortest_list_interval(3900), list_interval_a_thread(10);
constexpr std::chrono::milliseconds idle_pause(3500);  // of workers that did not work for WireGuard
constexpr std::size_t new_a_scan = 128;                // threads that are first looked at
constexpr std::size_t workers_a_scan = 256;
constexpr std::size_t single_a_scan = 64;   // threads that do one thing
constexpr std::size_t most_open = 128;      // files
constexpr std::size_t most_devices = 1024;  // whose work is kept apart

std::string path_of(std::uint32_t id, std::string_view file) {
  return ("proc/" + std::to_string(id) + '/').append(file);
}

// As the column starttime of stat counts.
std::uint64_t ticks_since_boot() {
  timespec time{};
  if (::clock_gettime(CLOCK_BOOTTIME, &time) != 0) return 0;
  const auto hertz = static_cast<std::uint64_t>(std::max(1L, ::sysconf(_SC_CLK_TCK)));
  return static_cast<std::uint64_t>(time.tv_sec) * hertz +
         static_cast<std::uint64_t>(time.tv_nsec) * hertz / 1'000'000'000;
}

void add_to(WorkTimes& times, WorkLabel::Work work, std::uint64_t gained) {
  switch (work) {
    case WorkLabel::Work::crypt:
      times.crypt_ns += gained;
      return;
    case WorkLabel::Work::handshake:
      times.handshake_ns += gained;
      return;
    case WorkLabel::Work::receive:
      times.receive_ns = times.receive_ns.value_or(0) + gained;
      return;
  }
}

void add_to(DeviceWork& work, const WorkLabel& label, std::uint64_t gained) {
  if (label.work != WorkLabel::Work::receive) work.is_wireguards = true;
  add_to(work.all, label.work, gained);
}

void add_to(WorkTimes& sum, const WorkTimes& more) {
  sum.crypt_ns += more.crypt_ns;
  sum.handshake_ns += more.handshake_ns;
  if (more.receive_ns) sum.receive_ns = sum.receive_ns.value_or(0) + *more.receive_ns;
}

DeviceWork sum(DeviceWork work, const DeviceWork& more) {
  work.id += more.id;
  add_to(work.all, more.all);
  for (const auto& [cpu, times] : more.cpus) add_to(work.cpus[cpu], times);
  return work;
}

// Of a name that the kernel gives: "wireguard0".
bool is_kernels_name(std::string_view name) {
  constexpr std::string_view stem = "wireguard";
  return name.starts_with(stem) && text::to_number<unsigned>(name.substr(stem.size())).has_value();
}

}  // namespace

KernelThreads::KernelThreads(const Root& root, bool per_cpu)
    : root_(root), per_cpu_(per_cpu), list_file_(root, thread_list) {}

Result<Done> KernelThreads::scan(Clock::time_point now) {
  if (times_.empty()) {
    if (auto found = find_threads(); !found) return found;
  }
  if (now >= next_list_) {
    if (auto listed = list(now); !listed) return listed;
  }
  meet_new(now);
  look_at(workers_, workers_a_scan, now);
  look_at(single_, single_a_scan, now);
  const auto forget = [this](const Thread& thread) {
    if (!thread.gone) return false;
    known_.erase(thread.id);
    list_.clear();
    for (const auto* file : {&thread.times, &thread.name}) open_files_ -= *file ? 1 : 0;
    return true;
  };
  std::erase_if(workers_.threads, forget);
  std::erase_if(single_.threads, forget);
  return Done{};
}

// Thread 2 of a container is another one, or none.
Result<Done> KernelThreads::find_threads() {
  const auto text = root_.read("proc/2/stat");
  const auto stat = text ? parse_task_stat(*text) : Result<TaskStat>(text.error());
  if (!stat || stat->name != "kthreadd" || !is_kernel_thread(*stat)) {
    return Error{Errc::io, 0,
                 "kernel threads cannot be seen from here (a container's own processes, or /proc "
                 "mounted with hidepid): no CPU time of tunnels in the kernel"};
  }
  begun_ = ticks_since_boot();
  times_ = root_.read("proc/2/schedstat") ? "schedstat" : "stat";
  return Done{};
}

Result<Done> KernelThreads::list(Clock::time_point now) {
  const auto text = list_file_.read(largest_list);
  if (!text) {
    return Error{
        Errc::io, text.error().number,
        "the list of kernel threads (the kernel's CONFIG_PROC_CHILDREN): " + text.error().where};
  }
  const auto count = std::count(text->begin(), text->end(), ' ');
  next_list_ =
      now + std::max<Clock::duration>(shortest_list_interval, list_interval_a_thread * count);
  if (*text == list_) return Done{};  // as nearly always
  list_ = *text;
  std::set<std::uint32_t> listed;
  std::string_view rest = text::trim(*text);
  while (const auto word = text::next_word(rest)) {
    if (const auto id = text::to_number<std::uint32_t>(*word)) listed.insert(listed.end(), *id);
  }
  // The list may miss one (proc_pid_task(5)), so those that are looked at stay until they are seen
  // to be gone: they must not be taken for new ones.
  std::set<std::uint32_t> known;
  for (const auto* ring : {&workers_, &single_}) {
    for (const auto& thread : ring->threads) known.insert(thread.id);
  }
  new_.clear();
  for (const auto id : listed) {
    if (known_.contains(id)) {
      known.insert(id);
    } else {
      new_.push_back(id);
    }
  }
  known_ = std::move(known);
  return Done{};
}

void KernelThreads::meet_new(Clock::time_point now) {
  const auto count = std::min(new_a_scan, new_.size());
  for (std::size_t i = 0; i < count; ++i) {
    if (meet(new_[i], now)) {
      known_.insert(new_[i]);
    } else {
      list_.clear();  // so that it is met again
    }
  }
  new_.erase(new_.begin(), new_.begin() + static_cast<std::ptrdiff_t>(count));
}

// false: it has no name yet.
bool KernelThreads::meet(std::uint32_t id, Clock::time_point now) {
  const auto text = root_.read(path_of(id, "stat"));
  const auto stat = text ? parse_task_stat(*text) : Result<TaskStat>(text.error());
  if (!stat || stat->name == "kthreadd") return false;
  if (!is_kernel_thread(*stat)) return true;
  Thread thread;
  thread.id = id;
  if (stat->started > begun_) thread.spent_ns = 0;  // all that it took counts
  const auto label = parse_work_label(stat->name);
  thread.is_wireguards = label.has_value();
  if (label) add_to(work_of(label->device, now), *label, 0);
  if (is_worker(stat->name)) {
    workers_.threads.push_back(std::move(thread));
  } else if (label) {
    thread.single = true;
    look_at(thread, now);
    single_.threads.push_back(std::move(thread));
  }
  return true;
}

// What the file says now; empty, and errno set, where it cannot be read.
std::string_view KernelThreads::read(const Thread& thread, Fd& file, std::string_view name,
                                     Line& line) {
  Fd opened;
  if (!file) {
    opened = Fd(::open(root_.full_path(path_of(thread.id, name)).c_str(), O_RDONLY | O_CLOEXEC));
    if (!opened) return {};
  }
  errno = 0;
  const auto size = ::pread((file ? file : opened).get(), line.data(), line.size(), 0);
  if (size <= 0) return {};
  if (opened && !thread.single && open_files_ < most_open) {
    file = std::move(opened);
    ++open_files_;
  }
  return {line.data(), static_cast<std::size_t>(size)};
}

// Empty where it is gone.
std::optional<std::uint64_t> KernelThreads::read_spent(Thread& thread) {
  Line line;
  const auto text = read(thread, thread.times, times_, line);
  if (text.empty() && (errno == EMFILE || errno == ENFILE)) return std::nullopt;
  std::optional<std::uint64_t> spent;
  if (times_ == "stat") {
    if (const auto stat = parse_task_stat(text)) spent = stat->cpu_ns;
  } else if (const auto time = parse_schedstat(text)) {
    spent = *time;
  }
  thread.gone = !spent;
  return spent;
}

void KernelThreads::look_at(Ring& ring, std::size_t most, Clock::time_point now) {
  auto& [threads, next] = ring;
  const auto turns = std::min(most, threads.size());
  for (std::size_t i = 0; i < turns; ++i) {
    next = next + 1 < threads.size() ? next + 1 : 0;
    look_at(threads[next], now);
  }
}

void KernelThreads::look_at(Thread& thread, Clock::time_point now) {
  if (now < thread.next_look) return;
  const auto spent = read_spent(thread);
  if (!spent) return;
  const auto before = std::exchange(thread.spent_ns, *spent);
  if (!before) return;
  if (*spent <= *before) {
    if (!thread.is_wireguards) thread.next_look = now + idle_pause;
    return;
  }
  // Also of those that do one thing: another thread may have come to the number.
  Line line;
  const auto name = read(thread, thread.name, "comm", line);
  if (name.empty()) return;
  const auto label = parse_work_label(text::trim(name));
  thread.is_wireguards = label.has_value();
  if (label) add(*label, thread.id, *spent - *before, now);
}

void KernelThreads::add(const WorkLabel& label, std::uint32_t id, std::uint64_t gained,
                        Clock::time_point now) {
  auto& work = work_of(label.device, now);
  work.moved = now;
  add_to(work, label, gained);
  if (!per_cpu_) return;
  auto cpu = label.cpu;
  if (!cpu) {
    const auto text = root_.read(path_of(id, "stat"));
    const auto stat = text ? parse_task_stat(*text) : Result<TaskStat>(text.error());
    if (stat) cpu = stat->cpu;
  }
  if (cpu) add_to(work.cpus[*cpu], label.work, gained);
}

// To be added to.
DeviceWork& KernelThreads::work_of(std::string_view device, Clock::time_point now) {
  ++changes_;
  if (const auto known = work_.find(device); known != work_.end()) return known->second;
  // Names of devices that are long gone.
  if (work_.size() >= most_devices) {
    work_.erase(std::min_element(work_.begin(), work_.end(), [](const auto& one, const auto& two) {
      return one.second.moved < two.second.moved;
    }));
  }
  auto& work = work_[std::string(device)];
  work.id = next_work_++;
  work.moved = now;
  return work;
}

std::vector<std::optional<DeviceWork>> match_work(
    std::span<const WorkedFor> devices,
    const std::map<std::string, DeviceWork, std::less<>>& work) {
  std::vector<std::optional<DeviceWork>> found(devices.size());
  std::vector<bool> open(devices.size(), true);  // bears no name that was seen
  std::vector<bool> alike(devices.size(), false);
  std::vector<const DeviceWork*> left;  // whose name no device bears
  const DeviceWork* unnamed = nullptr;
  for (const auto& [name, one] : work) {
    if (!one.is_wireguards) continue;
    std::vector<std::size_t> bearers;
    for (std::size_t i = 0; i < devices.size(); ++i) {
      if (is_name_of(name, devices[i].name)) bearers.push_back(i);
    }
    for (const auto i : bearers) {
      open[i] = false;
      alike[i] = alike[i] || bearers.size() > 1;
      found[i] = found[i] ? sum(*found[i], one) : one;  // a long name may be there cut, too
    }
    if (!bearers.empty()) continue;
    if (name == "wireguard%d") {
      unnamed = &one;
    } else {
      left.push_back(&one);
    }
  }
  for (std::size_t i = 0; i < devices.size(); ++i) {
    if (alike[i]) found[i].reset();
  }
  // Gives it to the only one that may have it.
  const auto give = [&](const DeviceWork& one, auto&& may_have_it) {
    std::optional<std::size_t> only;
    for (std::size_t i = 0; i < devices.size(); ++i) {
      // What moved before a device was there was another's, which is gone.
      if (!open[i] || one.moved < devices[i].since || !may_have_it(devices[i])) continue;
      if (only) return;
      only = i;
    }
    if (!only) return;
    found[*only] = one;
    open[*only] = false;
  };
  if (unnamed != nullptr) {
    give(*unnamed, [](const WorkedFor& device) { return is_kernels_name(device.name); });
  }
  if (left.size() == 1) {
    give(*left.front(), [](const WorkedFor& device) { return device.packets; });
  }
  return found;
}

}  // namespace wgvitals::kernel
