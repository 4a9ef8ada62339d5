// Messages of a WG_CMD_GET_DEVICE dump, of any bytes.

#include "common/kernel/wireguard_netlink.h"
#include "tests/fuzz/check.h"
#include "tests/fuzz/messages.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace wgvitals;
  Devices out;
  SeenDevice device;
  bool well = true;
  fuzz::for_each_message(data, size, [&](const nlmsghdr& message) {
    if (well) well = kernel::parse_device_message(message, device, out).has_value();
  });
  fuzz::check(device.peer_count == out.peers.size(), "every peer is counted");
  if (!well) return 0;
  std::uint32_t next = 0;
  for (const auto& peer : out.peers) {
    fuzz::check(peer.first_prefix == next, "prefixes follow one another");
    next += peer.prefix_count;
  }
  fuzz::check(next == out.prefixes.size(), "every prefix is some peer's");
  return 0;
}
