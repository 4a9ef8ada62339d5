// What the eBPF programs' map holds: any bytes, the first as a key, the others as its values.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "common/trace/crypto_cpu.h"
#include "common/trace/crypto_cpu_maps.h"
#include "tests/fuzz/check.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  const auto key = bytes.first(std::min(size, sizeof(work_key)));
  std::vector<wgvitals::trace::CryptoTime> times;
  const auto parsed = wgvitals::trace::parse_times(key, bytes.subspan(key.size()), times);
  wgvitals::fuzz::check(parsed || times.empty(), "what is malformed leaves nothing");
  for (const auto& time : times) {
    wgvitals::fuzz::check(time.ns != 0 || time.runs != 0, "a time is not empty");
    wgvitals::fuzz::check(time.queue.empty() != (time.device.index == 0), "it is somebody's");
    wgvitals::fuzz::check(time.queue.size() <= longest_queue_name, "a name has its length");
  }
  return 0;
}
