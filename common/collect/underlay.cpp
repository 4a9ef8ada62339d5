// The links that tunnels' own packets leave by: physical against tunnel.

#include "common/kernel/underlay.h"

#include <linux/netlink.h>

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/base/text.h"
#include "common/collect/collector.h"
#include "common/kernel/device_sockets.h"
#include "common/kernel/namespace.h"
#include "common/kernel/route.h"
#include "common/kernel/wireguard.h"

namespace wgvitals::collect {
namespace {

using config::Takes;
using Clock = std::chrono::steady_clock;

// 1. What is said.

constexpr LabelName link_label{"link"};
constexpr const LabelName* labels[] = {&device_label, &netns_label, &link_label};
constexpr Place places[] = {{"wireguard", &device_label}};

constexpr Metric rx_errors{"rx_errors", Type::u64, Kind::counter, Unit::packets,
                           "Packets that the link received damaged"};
constexpr Metric tx_errors{"tx_errors", Type::u64, Kind::counter, Unit::packets,
                           "Packets that the link could not send"};
constexpr Metric rx_dropped{"rx_dropped", Type::u64, Kind::counter, Unit::packets,
                            "Packets received by the link and thrown away"};
constexpr Metric tx_dropped{"tx_dropped", Type::u64, Kind::counter, Unit::packets,
                            "Packets thrown away before the link sent them"};
constexpr Metric mtu{"mtu", Type::i64, Kind::gauge, Unit::bytes, "MTU of the link"};
constexpr Metric speed{
    "speed_mbit", Type::i64, Kind::gauge, Unit::none,
    "Speed of the link in Mbit/s; absent where it has none, as virtual ones, and in "
    "other namespaces"};
constexpr const Metric* metrics[] = {&rx_errors,  &tx_errors, &rx_dropped,
                                     &tx_dropped, &mtu,       &speed};
constexpr Family links{
    "wireguard_underlay",
    "The links that a device's own packets leave by, by the routes to its peers' "
    "endpoints",
    metrics, labels, places};
constexpr const Family* families[] = {&links};

// 2. From values to values, from values to records.

constexpr std::chrono::seconds speed_interval(60);
constexpr std::size_t most_links = 32;  // read in a pass

struct SeenLink {
  Link link;
  std::optional<std::int64_t> speed;
  Clock::time_point speed_at{};
};

void emit_link(const SeenDevice& device, const SeenLink& seen, Sink& sink) {
  Readings<std::size(metrics)> readings;
  if (const auto& counters = seen.link.counters) {
    readings.add(rx_errors, counters->rx_errors);
    readings.add(tx_errors, counters->tx_errors);
    readings.add(rx_dropped, counters->rx_dropped);
    readings.add(tx_dropped, counters->tx_dropped);
  }
  readings.add(mtu, seen.link.mtu);
  readings.add(speed, seen.speed);
  const auto name = text::to_printable(seen.link.name);
  const Label whose[] = {
      {&device_label, device.name}, {&netns_label, device.netns}, {&link_label, name}};
  sink.take(Record{links, whose, readings});
}

// 3. The collector.

class UnderlayCollector final : public Collector {
 public:
  explicit UnderlayCollector(const Services& services) : root_(services.root) {
    spaces_.try_emplace("", kernel::WireGuardReader::open_own_netlink(), "");
  }

  bool is_sampled() const override { return false; }

  void read(Devices& devices, Report& report) override {
    sockets_.look_up(devices, advanced_, report);
    keep_spaces(devices);
    for (auto& [name, space] : spaces_) read(name, space, devices, report);
  }

  void advance(const Now& now, const Devices&, Peers&, Events&) override {
    advanced_ = now.monotonic;
  }

  void emit(const Now&, const Devices& devices, const Peers&, Sink& sink) const override {
    for (const auto& device : devices.devices) {
      for (const auto& [name, space] : spaces_) {
        for (const auto index : space.underlay.links_of(device.identity)) {
          const auto seen = space.links.find(index);
          if (seen != space.links.end()) emit_link(device, seen->second, sink);
        }
      }
    }
  }

 private:
  // A network namespace.
  struct Space {
    Space(kernel::OpenNetlink open, const std::string& name)
        : netlink(std::move(open), NETLINK_ROUTE), underlay(netlink, name) {}

    std::uint64_t inode = 0;  // of another one
    kernel::Netlink netlink;
    kernel::Underlay underlay;
    std::map<std::uint32_t, SeenLink> links;  // by index
  };

  // One made anew under its old name is another. What is missing the wireguard collector tells.
  void keep_spaces(const Devices& devices) {
    std::map<std::string, std::uint64_t> others;
    for (const auto& device : devices.devices) {
      if (!device.netns.empty()) others.try_emplace(device.netns);
    }
    for (auto& [name, inode] : others) {
      const auto place = kernel::namespace_inode(kernel::namespace_path(root_, name));
      inode = place ? *place : 0;
    }
    std::erase_if(spaces_, [&](const auto& space) {
      if (space.first.empty()) return false;
      const auto other = others.find(space.first);
      return other == others.end() || other->second != space.second.inode;
    });
    for (const auto& [name, inode] : others) {
      if (inode == 0) continue;
      auto open = kernel::open_netlink_in(kernel::namespace_path(root_, name));
      spaces_.try_emplace(name, std::move(open), name).first->second.inode = inode;
    }
  }

  void read(const std::string& name, Space& space, const Devices& devices, Report& report) {
    space.underlay.look_up(devices, sockets_, advanced_, report);
    auto wanted = space.underlay.all_links();
    if (wanted.size() > most_links) wanted.resize(most_links);
    std::map<std::uint32_t, SeenLink> seen;
    for (const auto index : wanted) {
      auto link = kernel::read_link(space.netlink, index);
      if (!link) {
        report.failed(link.error());
      } else if (name.empty()) {
        seen.emplace(index, with_speed(std::move(*link), space.links));
      } else {
        seen.emplace(index, SeenLink{std::move(*link), std::nullopt});
      }
    }
    space.links = std::move(seen);
  }

  SeenLink with_speed(Link link, const std::map<std::uint32_t, SeenLink>& seen) const {
    const auto before = seen.find(link.index);
    if (before != seen.end() && before->second.speed_at + speed_interval > advanced_ &&
        before->second.link.name == link.name) {
      return {std::move(link), before->second.speed, before->second.speed_at};
    }
    const auto now = kernel::read_speed(root_, link);
    return {std::move(link), now, advanced_};
  }

  const Root& root_;
  kernel::SocketNamespaces sockets_{root_};
  std::map<std::string, Space> spaces_;  // by name; "": our own
  Clock::time_point advanced_{};         // when the last advance was
};

std::unique_ptr<Collector> make(const Services& services, const config::Settings&) {
  return std::make_unique<UnderlayCollector>(services);
}

}  // namespace

extern const Entry underlay;
const Entry underlay{{"underlay", Takes::truth, "true",
                      "Reads the links that each device's own packets leave by: errors, drops, "
                      "MTU, speed. Costs no packet"},
                     families,
                     {},
                     make};

}  // namespace wgvitals::collect
