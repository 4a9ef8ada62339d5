#include "common/kernel/cpu.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <numeric>
#include <string>
#include <system_error>
#include <utility>

#include "common/base/text.h"

namespace wgvitals::kernel {
namespace {

namespace fs = std::filesystem;

Error malformed(std::string where) { return {Errc::malformed, 0, std::move(where)}; }

// user nice system idle iowait irq softirq steal; guest and guest_nice are part of the first two.
constexpr std::size_t idle_column = 3, iowait_column = 4, softirq_column = 6, own_columns = 8;

std::optional<CpuTimes> to_times(unsigned cpu, std::string_view rest) {
  std::array<std::uint64_t, own_columns> ticks{};
  std::size_t columns = 0;
  for (; columns < own_columns; ++columns) {
    const auto word = text::next_word(rest);
    if (!word) break;
    const auto number = text::to_number<std::uint64_t>(*word);
    if (!number) return std::nullopt;
    ticks[columns] = *number;
  }
  if (columns <= idle_column) return std::nullopt;
  return CpuTimes{cpu, std::accumulate(ticks.begin(), ticks.end(), std::uint64_t{0}),
                  ticks[idle_column] + ticks[iowait_column], ticks[softirq_column]};
}

// An interrupt's number of a file like /sys/class/net/eth0/device/irq; 0: none.
unsigned read_number(const Root& root, const std::string& path) {
  const auto text = root.read(path);
  return text ? text::to_number<unsigned>(text::trim(*text)).value_or(0) : 0;
}

// The names in a folder of sysfs. Empty where there is none.
std::vector<std::string> read_names(const Root& root, const std::string& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator at(root.full_path(folder), error), end; !error && at != end;
       at.increment(error)) {
    names.push_back(at->path().filename());
  }
  std::sort(names.begin(), names.end());
  return names;
}

// With MSI an interrupt a queue, else the one line. A virtio card's are its parent's (drivers/
// virtio/virtio_pci_common.c); a PCI device always has its own file `irq`.
std::vector<unsigned> read_card(const Root& root, const std::string& link) {
  std::vector<unsigned> found;
  for (const auto& device : {link + "/device", link + "/device/.."}) {
    for (const auto& name : read_names(root, device + "/msi_irqs")) {
      if (const auto number = text::to_number<unsigned>(name)) found.push_back(*number);
    }
    if (const auto line = read_number(root, device + "/irq"); found.empty() && line != 0) {
      found.push_back(line);
    }
    std::error_code error;
    if (!found.empty() || fs::exists(root.full_path(device + "/irq"), error)) break;
  }
  return found;
}

void collect_interrupts(const Root& root, const std::string& link, int depth,
                        std::vector<unsigned>& found) {
  const auto folder = "sys/class/net/" + link;
  const auto own = read_card(root, folder);
  found.insert(found.end(), own.begin(), own.end());
  if (!own.empty() || depth == 0) return;
  for (const auto& name : read_names(root, folder)) {
    constexpr std::string_view lower = "lower_";
    if (name.starts_with(lower)) {
      collect_interrupts(root, name.substr(lower.size()), depth - 1, found);
    }
  }
}

}  // namespace

Result<std::vector<CpuTimes>> parse_stat(std::string_view text) {
  std::vector<CpuTimes> cpus;
  while (auto line = text::next_line(text)) {
    const auto name = text::next_word(*line);
    if (!name || !name->starts_with("cpu")) break;  // they come first; the rest is long
    if (*name == "cpu") continue;
    const auto cpu = text::to_number<unsigned>(name->substr(3));
    const auto times = cpu ? to_times(*cpu, *line) : std::nullopt;
    if (!times) return malformed("a damaged line of a CPU");
    cpus.push_back(*times);
  }
  if (cpus.empty()) return malformed("no line of a CPU");
  return cpus;
}

std::optional<CpuLoad> derive_load(std::span<const CpuTimes> before,
                                   std::span<const CpuTimes> now) {
  std::optional<CpuLoad> load;
  for (const auto& one : now) {
    const auto old = std::find_if(before.begin(), before.end(),
                                  [&](const CpuTimes& other) { return other.cpu == one.cpu; });
    if (old == before.end() || one.total <= old->total || one.softirq < old->softirq) continue;
    const auto total = static_cast<double>(one.total - old->total);
    // Idle time may go back a little (proc_stat(5) on iowait): then there was none.
    const auto idle = one.idle > old->idle ? static_cast<double>(one.idle - old->idle) : 0.0;
    const auto busy = std::max(0.0, 100 * (1 - idle / total));
    const auto softirq = 100 * static_cast<double>(one.softirq - old->softirq) / total;
    if (!load) load = CpuLoad{one.cpu, busy, softirq};
    if (busy > load->busy_percent) {
      load->busiest = one.cpu;
      load->busy_percent = busy;
    }
    load->softirq_percent = std::min(100.0, std::max(load->softirq_percent, softirq));
  }
  return load;
}

Result<std::vector<CpuThrottles>> read_core_throttles(const Root& root,
                                                      std::span<const CpuTimes> cpus) {
  std::vector<CpuThrottles> throttles;
  for (const auto& cpu : cpus) {
    const auto path = "sys/devices/system/cpu/cpu" + std::to_string(cpu.cpu) +
                      "/thermal_throttle/core_throttle_count";
    const auto text = root.read(path);
    if (!text && text.error().code == Errc::absent) continue;  // or the CPU was just put off
    if (!text) return text.error();
    const auto count = text::to_number<std::uint64_t>(text::trim(*text));
    if (!count) return malformed(root.full_path(path).string() + ": no number");
    throttles.push_back({cpu.cpu, *count});
  }
  if (throttles.empty()) return Error{Errc::absent, 0, "core_throttle_count"};
  return throttles;
}

Result<InterruptCounts> parse_per_cpu_count(std::string_view text) {
  InterruptCounts counts;
  text = text::trim(text);
  while (true) {
    const auto comma = text.find(',');
    const auto count = text::to_number<std::uint32_t>(text.substr(0, comma));
    if (!count) return malformed("not a list of numbers");
    counts.push_back(*count);
    if (comma == std::string_view::npos) return counts;
    text.remove_prefix(comma + 1);
  }
}

std::vector<unsigned> find_interrupts(const Root& root, std::string_view link, std::size_t most) {
  constexpr int deepest = 3;  // a VLAN on a bridge on a bond
  std::vector<unsigned> found;
  collect_interrupts(root, std::string(link), deepest, found);
  std::sort(found.begin(), found.end());
  found.erase(std::unique(found.begin(), found.end()), found.end());
  if (found.size() > most) found.resize(most);
  return found;
}

Result<std::vector<CountedInterrupt>> read_interrupts(const Root& root,
                                                      std::span<const unsigned> numbers) {
  std::vector<CountedInterrupt> interrupts;
  interrupts.reserve(numbers.size());
  for (const auto number : numbers) {
    const auto path = "sys/kernel/irq/" + std::to_string(number) + "/per_cpu_count";
    const auto text = root.read(path);
    if (!text && text.error().code == Errc::absent) continue;
    if (!text) return text.error();
    auto counts = parse_per_cpu_count(*text);
    if (!counts) return malformed(root.full_path(path).string() + ": " + counts.error().where);
    interrupts.push_back({number, std::move(*counts)});
  }
  return interrupts;
}

std::optional<double> derive_busiest_share(std::span<const CountedInterrupt> before,
                                           std::span<const CountedInterrupt> now) {
  std::vector<std::uint64_t> gained;
  for (const auto& one : now) {
    const auto old = std::find_if(before.begin(), before.end(), [&](const CountedInterrupt& other) {
      return other.number == one.number;
    });
    if (old == before.end() || old->counts.size() != one.counts.size()) continue;
    gained.resize(std::max(gained.size(), one.counts.size()));
    for (std::size_t cpu = 0; cpu < one.counts.size(); ++cpu) {
      gained[cpu] += one.counts[cpu] - old->counts[cpu];  // right across 2^32 too
    }
  }
  const auto all = std::accumulate(gained.begin(), gained.end(), std::uint64_t{0});
  if (all == 0) return std::nullopt;
  const auto most = *std::max_element(gained.begin(), gained.end());
  return 100 * static_cast<double>(most) / static_cast<double>(all);
}

}  // namespace wgvitals::kernel
