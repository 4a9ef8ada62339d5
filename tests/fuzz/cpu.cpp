// /proc/stat and the counts of an interrupt: any bytes, split into a reading before and one behind,
// whose shares must be shares.

#include "common/kernel/cpu.h"

#include <string_view>

#include "tests/fuzz/check.h"

namespace wgvitals::fuzz {
namespace {

void compare_stat(std::string_view before, std::string_view now) {
  const auto first = kernel::parse_stat(before);
  const auto second = kernel::parse_stat(now);
  if (!first || !second) return;
  const auto load = kernel::derive_load(*first, *second);
  if (!load) return;
  check(load->busy_percent >= 0 && load->busy_percent <= 100, "the busy share is one");
  check(load->softirq_percent >= 0 && load->softirq_percent <= 100, "the softirq share is one");
}

void compare_counts(std::string_view before, std::string_view now) {
  const auto first = kernel::parse_per_cpu_count(before);
  const auto second = kernel::parse_per_cpu_count(now);
  if (!first || !second) return;
  const kernel::CountedInterrupt old[] = {{1, *first}}, later[] = {{1, *second}};
  const auto share = kernel::derive_busiest_share(old, later);
  check(!share || (*share > 0 && *share <= 100), "the busiest CPU's share is one");
}

}  // namespace
}  // namespace wgvitals::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto half = text.find('|');
  const auto before = text.substr(0, half);
  const auto now = half == std::string_view::npos ? text : text.substr(half + 1);
  wgvitals::fuzz::compare_stat(before, now);
  wgvitals::fuzz::compare_counts(before, now);
  return 0;
}
