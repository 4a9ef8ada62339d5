// Files of wg-quick and systemd-networkd.

#include "common/kernel/wgquick.h"

#include "tests/fuzz/lines.h"
#include "tests/fuzz/names.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace wgvitals;
  kernel::NameParser parser;
  fuzz::for_each_line(data, size, [&](std::string_view line) {
    parser.take(line);
    return true;
  });
  fuzz::check_names(parser.finish());
  return 0;
}
