// /proc/net/stat/nf_conntrack: a row for each CPU, or nothing.

#include <algorithm>
#include <cstdint>
#include <string_view>

#include "common/kernel/conntrack.h"
#include "tests/fuzz/check.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto cpus = wgvitals::kernel::parse_conntrack_cpus(text);
  if (!cpus) return 0;
  const auto ends = static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
  wgvitals::fuzz::check(cpus->size() <= ends, "no more CPUs than rows");
  for (std::size_t i = 0; i < cpus->size(); ++i) {
    wgvitals::fuzz::check((*cpus)[i].number == i, "numbered in their order");
  }
  return 0;
}
