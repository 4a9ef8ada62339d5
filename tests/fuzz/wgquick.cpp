// Files of wg-quick and systemd-networkd.

#include "common/kernel/wgquick.h"

#include <cstdlib>

#include "common/model/key.h"
#include "tests/fuzz/lines.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace wgvitals;
  kernel::NameParser parser;
  fuzz::for_each_line(data, size, [&](std::string_view line) {
    parser.take(line);
    return true;
  });
  auto names = parser.finish();
  for (const auto& [key, peer] : names) {
    if (!key_from_base64(key)) std::abort();
  }
  make_distinct(names);
  const LabelSets sets(names);
  return 0;
}
