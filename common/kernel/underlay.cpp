#include "common/kernel/underlay.h"

#include <algorithm>
#include <string>
#include <utility>

#include "common/base/text.h"
#include "common/kernel/nesting.h"

namespace wgvitals::kernel {
namespace {

constexpr std::size_t most_lookups = 128;  // a call
constexpr std::size_t most_peers = 256;    // looked at, of a device
constexpr std::size_t most_endpoints = 16;
constexpr std::chrono::seconds lookup_interval(60);

void sort_once(std::vector<std::uint32_t>& links) {
  std::sort(links.begin(), links.end());
  links.erase(std::unique(links.begin(), links.end()), links.end());
}

}  // namespace

void Underlay::look_up(const Devices& devices, const SocketNamespaces& sockets,
                       Clock::time_point now, Report& report) {
  note(devices, sockets);
  std::vector<std::pair<Tunnel*, Looked*>> due;
  for (auto& tunnel : tunnels_) {
    for (auto& looked : tunnel.endpoints) {
      if (!looked.known || looked.at + lookup_interval <= now) due.emplace_back(&tunnel, &looked);
    }
  }
  // What is new first, then the oldest: nobody waits for ever.
  const auto count = std::min(due.size(), most_lookups);
  std::partial_sort(due.begin(), due.begin() + static_cast<std::ptrdiff_t>(count), due.end(),
                    [](const auto& left, const auto& right) {
                      const Looked& a = *left.second;
                      const Looked& b = *right.second;
                      return a.known != b.known ? b.known : a.at < b.at;
                    });
  for (std::size_t i = 0; i < count; ++i) {
    due[i].second->at = now;
    look_up(devices, *due[i].first, *due[i].second, report);
  }
}

void Underlay::look_up(const Devices& devices, const Tunnel& tunnel, Looked& looked,
                       Report& report) {
  looked.known = true;
  const auto way = read_way(
      [&](const RouteQuestion& question) {
        auto route = read_route(netlink_, question);
        if (!route) report.failed(route.error());
        return route;
      },
      devices, {.to = looked.to, .from = {}, .mark = tunnel.mark}, tunnel.index, netns_);
  looked.link = way && !way->loops ? way->route.link : 0;
}

void Underlay::note(const Devices& devices, const SocketNamespaces& sockets) {
  for (auto& tunnel : tunnels_) tunnel.seen = false;
  for (const auto& device : devices.devices) {
    if (!device.link || sockets.of(device) != netns_) continue;
    auto tunnel = std::find_if(tunnels_.begin(), tunnels_.end(),
                               [&](const Tunnel& one) { return one.device == device.identity; });
    if (tunnel == tunnels_.end()) tunnel = tunnels_.insert(tunnel, Tunnel{});
    if (tunnel->mark != device.fwmark) tunnel->endpoints.clear();
    tunnel->device = device.identity;
    tunnel->index = device.netns == netns_ ? device.link->index : 0;
    tunnel->mark = device.fwmark;
    tunnel->seen = true;
    note_peers(devices.peers_of(device), *tunnel);
  }
  std::erase_if(tunnels_, [&](const Tunnel& tunnel) {
    return !tunnel.seen && !devices.is_unread(tunnel.device);
  });
}

void Underlay::note_peers(std::span<const SeenPeer> peers, Tunnel& tunnel) {
  auto& known = tunnel.endpoints;
  peers = peers.first(std::min(peers.size(), most_peers));
  const auto find = [&](const SeenPeer& peer) {
    auto to = peer.endpoint;
    to.port = 0;
    return std::find_if(known.begin(), known.end(),
                        [&](const Looked& looked) { return looked.to == to; });
  };
  // Those that are known go first: wireguard-go tells its peers in another order each time.
  for (auto& looked : known) looked.seen = false;
  auto missing = known.size();
  for (auto peer = peers.begin(); peer != peers.end() && missing != 0; ++peer) {
    const auto found = find(*peer);
    if (found != known.end() && !std::exchange(found->seen, true)) --missing;
  }
  std::erase_if(known, [](const Looked& looked) { return !looked.seen; });
  for (auto peer = peers.begin(); peer != peers.end() && known.size() < most_endpoints; ++peer) {
    if (peer->endpoint.family == AddressFamily::none || find(*peer) != known.end()) continue;
    known.push_back(Looked{.to = peer->endpoint, .seen = true});
    known.back().to.port = 0;
  }
}

std::vector<std::uint32_t> Underlay::links_of(const DeviceIdentity& device) const {
  std::vector<std::uint32_t> links;
  for (const auto& tunnel : tunnels_) {
    if (tunnel.device != device) continue;
    for (const auto& looked : tunnel.endpoints) {
      if (looked.link != 0) links.push_back(looked.link);
    }
  }
  sort_once(links);
  return links;
}

std::vector<std::uint32_t> Underlay::all_links() const {
  std::vector<std::uint32_t> links;
  for (const auto& tunnel : tunnels_) {
    const auto some = links_of(tunnel.device);
    links.insert(links.end(), some.begin(), some.end());
  }
  sort_once(links);
  return links;
}

std::optional<std::int64_t> read_speed(const Root& root, const Link& link) {
  const auto number = [&](const char* name) -> std::optional<std::int64_t> {
    const auto text = root.read("sys/class/net/" + link.name + "/" + name);
    if (!text) return std::nullopt;
    return text::to_number<std::int64_t>(text::trim(*text));
  };
  if (number("ifindex") != static_cast<std::int64_t>(link.index)) return std::nullopt;
  const auto speed = number("speed");
  // -1, or as an unsigned number 2^32-1: not known (include/uapi/linux/ethtool.h, SPEED_UNKNOWN).
  if (!speed || *speed <= 0 || *speed >= 0xffffffff) return std::nullopt;
  return speed;
}

}  // namespace wgvitals::kernel
