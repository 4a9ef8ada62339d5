// What /proc tells of threads: any bytes. What is taken of them lies within them, and a name that
// names a device's work still does so as a column of stat.

#include "common/kernel/task.h"

#include <string>
#include <string_view>

#include "tests/fuzz/check.h"

namespace wgvitals::fuzz {
namespace {

bool holds(std::string_view text, std::string_view part) {
  return part.data() >= text.data() && part.data() + part.size() <= text.data() + text.size();
}

void read_stat(std::string_view text) {
  const auto stat = kernel::parse_task_stat(text);
  if (!stat) return;
  check(holds(text, stat->name), "the name is part of the text");
  check(stat->cpu_ns % 1'000'000 == 0, "the time is in ticks");
}

void read_name(std::string_view name) {
  const auto label = kernel::parse_work_label(name);
  if (!label) return;
  check(!label->device.empty() && holds(name, label->device), "the device is part of the name");
  check(kernel::is_name_of(label->device, label->device), "a name is its own");
  const auto line = "7 (" + std::string(name) +
                    ") I 2 0 0 0 -1 2129984 0 0 0 0 1 31 0 0 20 0 1 0 5 0 0 0 0 0 0 0 0 0 0 0 0 0 "
                    "0 0 0 17 1 0 0\n";
  const auto stat = kernel::parse_task_stat(line);
  check(stat && stat->name == name, "any name comes through");
}

}  // namespace
}  // namespace wgvitals::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  wgvitals::fuzz::read_stat(text);
  wgvitals::fuzz::read_name(text);
  static_cast<void>(wgvitals::kernel::is_worker(text));
  static_cast<void>(wgvitals::kernel::parse_schedstat(text));
  return 0;
}
