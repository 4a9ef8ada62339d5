// RTM_NEWLINK messages, of any bytes.

#include "common/kernel/link.h"

#include "tests/fuzz/messages.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  wgvitals::fuzz::for_each_message(
      data, size, [](const nlmsghdr& message) { (void)wgvitals::kernel::parse_link(message); });
  return 0;
}
