// The execd's configuration.

#include "common/collect/engine.h"
#include "common/config/section.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace wgvitals;
  config::Settings settings(collect::schema());
  std::vector<config::Problem> problems;
  const auto section = config::parse_toml({reinterpret_cast<const char*>(data), size}, "fuzz",
                                          settings.schema(), problems);
  if (!section) return 0;
  settings.read(*section, problems);
  for (const auto& problem : problems) (void)config::to_text("fuzz", problem);
  return 0;
}
