// The answer of a userspace device.

#include "common/kernel/wireguard_uapi.h"
#include "tests/fuzz/check.h"
#include "tests/fuzz/lines.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace wgvitals;
  Devices out;
  SeenDevice device;
  kernel::UapiParser parser(device, out);
  fuzz::for_each_line(data, size, [&](std::string_view line) {
    return parser.take(line).has_value() && !parser.ended();
  });
  fuzz::check(device.peer_count == out.peers.size(), "every peer is counted");
  std::uint32_t next = 0;
  for (const auto& peer : out.peers) {
    fuzz::check(peer.first_prefix == next, "prefixes follow one another");
    next += peer.prefix_count;
    fuzz::check(peer.has_handshake == (peer.handshake_ns > 0), "a handshake has a time");
  }
  fuzz::check(next == out.prefixes.size(), "every prefix is some peer's");
  return 0;
}
