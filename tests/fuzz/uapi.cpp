// The answer of a userspace device.

#include <cstdlib>

#include "common/kernel/wireguard_uapi.h"
#include "tests/fuzz/lines.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace wgvitals;
  Devices out;
  SeenDevice device;
  kernel::UapiParser parser(device, out);
  fuzz::for_each_line(data, size, [&](std::string_view line) {
    return parser.take(line).has_value() && !parser.ended();
  });
  if (device.peer_count != out.peers.size()) std::abort();
  for (const auto& peer : out.peers) {
    if (peer.first_prefix + peer.prefix_count > out.prefixes.size()) std::abort();
    if (peer.has_handshake != (peer.handshake_ns > 0)) std::abort();
  }
  return 0;
}
