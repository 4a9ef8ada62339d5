// Tunnels within tunnels: which WireGuard devices of this host a packet passes through on its way
// out.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

#include "common/kernel/route.h"
#include "common/model/devices.h"

namespace wgvitals::kernel {

struct Way {
  Route route;                         // of the packet itself
  std::vector<std::uint32_t> tunnels;  // link indexes of the devices, the innermost first
  bool loops = false;                  // it comes to a device a second time: it never leaves
};

using LookUpRoute = std::function<Result<Route>(const RouteQuestion&)>;

// Follows the packet: where its link is a WireGuard device, goes on with the endpoint of the peer
// whose allowed IPs take it (the longest prefix does), as that device marks its own packets. Ends
// where it leaves by another link, no peer takes it, or that peer's way is not known. `inside`:
// link index of the device whose packet it is; 0: an ordinary program's. Only devices of one
// namespace play a part: `netns`, as configured; empty: our own.
Result<Way> read_way(const LookUpRoute& look_up, const Devices& devices,
                     const RouteQuestion& question, std::uint32_t inside = 0,
                     std::string_view netns = {});

// The device of a namespace with this link index; nullptr: none.
const SeenDevice* find_device(const Devices& devices, std::uint32_t link,
                              std::string_view netns = {});

bool contains(const Prefix& prefix, const Endpoint& address);

}  // namespace wgvitals::kernel
