#include "common/kernel/nesting.h"

#include <algorithm>
#include <span>

namespace wgvitals::kernel {
namespace {

// As the device's table of allowed IPs (drivers/net/wireguard/allowedips.c); nullptr: no peer.
const SeenPeer* find_carrier(const Devices& devices, const SeenDevice& device,
                             const Endpoint& address) {
  const SeenPeer* carrier = nullptr;
  int longest = -1;
  for (const auto& peer : devices.peers_of(device)) {
    for (const auto& prefix :
         std::span(devices.prefixes).subspan(peer.first_prefix, peer.prefix_count)) {
      if (prefix.length <= longest || !contains(prefix, address)) continue;
      longest = prefix.length;
      carrier = &peer;
    }
  }
  return carrier;
}

}  // namespace

bool contains(const Prefix& prefix, const Endpoint& address) {
  if (prefix.family != address.family || prefix.length > 128) return false;
  const std::size_t whole = prefix.length / 8;
  const unsigned rest = prefix.length % 8;
  if (!std::equal(prefix.address.begin(), prefix.address.begin() + whole, address.address.begin()))
    return false;
  return rest == 0 || ((prefix.address[whole] ^ address.address[whole]) >> (8 - rest)) == 0;
}

const SeenDevice* find_device(const Devices& devices, std::uint32_t link, std::string_view netns) {
  const auto found =
      std::find_if(devices.devices.begin(), devices.devices.end(), [&](const SeenDevice& one) {
        return one.netns == netns && one.link && one.link->index == link;
      });
  return found == devices.devices.end() ? nullptr : &*found;
}

Result<Way> read_way(const LookUpRoute& look_up, const Devices& devices,
                     const RouteQuestion& question, std::uint32_t inside, std::string_view netns) {
  const auto first = look_up(question);
  if (!first) return first.error();
  Way way{*first, {}, false};
  auto to = question.to;
  for (auto link = first->link; const auto* device = find_device(devices, link, netns);) {
    way.loops = link == inside ||
                std::find(way.tunnels.begin(), way.tunnels.end(), link) != way.tunnels.end();
    if (way.loops) return way;
    way.tunnels.push_back(link);
    const auto* carrier = find_carrier(devices, *device, to);
    if (carrier == nullptr || carrier->endpoint.family == AddressFamily::none) return way;
    to = carrier->endpoint;
    const auto next = look_up({.to = to, .from = {}, .mark = device->fwmark});
    if (!next) return way;
    link = next->link;
  }
  return way;
}

}  // namespace wgvitals::kernel
