// Messages of a WG_CMD_GET_DEVICE dump.

#include <cstdlib>

#include "common/kernel/wireguard_netlink.h"
#include "tests/fuzz/messages.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace wgvitals;
  Devices out;
  SeenDevice device;
  bool well = true;
  fuzz::for_each_message(data, size, [&](const nlmsghdr& message) {
    if (well) well = kernel::parse_device_message(message, device, out).has_value();
  });
  if (device.peer_count != out.peers.size()) std::abort();
  if (!well) return 0;
  std::uint32_t next = 0;
  for (const auto& peer : out.peers) {
    if (peer.first_prefix != next) std::abort();
    next += peer.prefix_count;
  }
  if (next != out.prefixes.size()) std::abort();
  return 0;
}
