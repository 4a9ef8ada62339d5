// collectd.conf.

#include "common/collect/engine.h"
#include "common/config/section.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace wgvitals;
  const auto section = config::parse_collectd({reinterpret_cast<const char*>(data), size}, "fuzz");
  if (!section) return 0;
  std::vector<config::Problem> problems;
  config::Settings settings(collect::schema());
  settings.read(*section, problems);
  for (const auto& problem : problems) (void)config::to_text("fuzz", problem);
  return 0;
}
