// What the eBPF program's map holds: any bytes, the first as a key, the others as its values.

#include "common/trace/refused.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "tests/fuzz/check.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  const auto key = bytes.first(std::min(size, sizeof(refused_key)));
  std::vector<wgvitals::trace::RefusedPackets> refused;
  const auto parsed = wgvitals::trace::parse_refused(key, bytes.subspan(key.size()), refused);
  wgvitals::fuzz::check(refused.size() == (parsed ? 1 : 0), "a key has one count, or none");
  if (parsed) {
    wgvitals::fuzz::check((refused[0].device.index != 0) != (refused[0].port != 0),
                          "it is somebody's");
  }
  return 0;
}
