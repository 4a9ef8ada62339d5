// The links that tunnels' own packets leave by: physical against tunnel.

#include "common/kernel/underlay.h"

#include <linux/netlink.h>

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "common/base/text.h"
#include "common/collect/collector.h"
#include "common/kernel/route.h"
#include "common/kernel/wireguard.h"

namespace wgvitals::collect {
namespace {

using config::Takes;
using Clock = std::chrono::steady_clock;

// 1. What is said.

constexpr LabelName link_label{"link"};
constexpr const LabelName* labels[] = {&device_label, &link_label};
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
constexpr Metric speed{"speed_mbit", Type::i64, Kind::gauge, Unit::none,
                       "Speed of the link in Mbit/s; absent where it has none, as virtual ones"};
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
  const Label whose[] = {{&device_label, device.name}, {&link_label, name}};
  sink.take(Record{links, whose, readings});
}

// 3. The collector.

class UnderlayCollector final : public Collector {
 public:
  explicit UnderlayCollector(const Services& services) : root_(services.root) {}

  bool is_sampled() const override { return false; }

  void read(Devices& devices, Report& report) override {
    underlay_.look_up(devices, advanced_, report);
    auto wanted = underlay_.all_links();
    if (wanted.size() > most_links) wanted.resize(most_links);
    std::map<std::uint32_t, SeenLink> seen;
    for (const auto index : wanted) {
      auto link = kernel::read_link(netlink_, index);
      if (link) {
        seen.emplace(index, with_speed(std::move(*link)));
      } else {
        report.failed(link.error());
      }
    }
    links_ = std::move(seen);
  }

  void advance(const Now& now, const Devices&, Peers&, Events&) override {
    advanced_ = now.monotonic;
  }

  void emit(const Now&, const Devices& devices, const Peers&, Sink& sink) const override {
    for (const auto& device : devices.devices) {
      for (const auto index : underlay_.links_of(device.identity)) {
        const auto seen = links_.find(index);
        if (seen != links_.end()) emit_link(device, seen->second, sink);
      }
    }
  }

 private:
  SeenLink with_speed(Link link) const {
    const auto before = links_.find(link.index);
    if (before != links_.end() && before->second.speed_at + speed_interval > advanced_ &&
        before->second.link.name == link.name) {
      return {std::move(link), before->second.speed, before->second.speed_at};
    }
    const auto now = kernel::read_speed(root_, link);
    return {std::move(link), now, advanced_};
  }

  const Root& root_;
  kernel::Netlink netlink_{kernel::WireGuardReader::open_own_netlink(), NETLINK_ROUTE};
  kernel::Underlay underlay_{netlink_};
  std::map<std::uint32_t, SeenLink> links_;  // by index
  Clock::time_point advanced_{};             // when the last advance was
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
