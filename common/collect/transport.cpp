// The UDP sockets that tunnels' packets come and go by.

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "common/collect/collector.h"
#include "common/kernel/module.h"
#include "common/kernel/namespace.h"
#include "common/kernel/udp_sockets.h"

namespace wgvitals::collect {
namespace {

using config::Takes;
using kernel::UdpSocket;

// 1. What is said.

constexpr const LabelName* labels[] = {&device_label, &netns_label};
constexpr Place places[] = {{"wireguard", &device_label}};

constexpr Metric rx_queue{"socket_rx_queue_bytes", Type::i64, Kind::gauge, Unit::bytes,
                          "Received and not yet taken; always 0 of a tunnel in the kernel, which "
                          "takes packets as they come"};
constexpr Metric tx_queue{"socket_tx_queue_bytes", Type::i64, Kind::gauge, Unit::bytes,
                          "Sent and still in a queue of this host"};
constexpr Metric rcvbuf{"socket_rcvbuf_bytes", Type::i64, Kind::gauge, Unit::bytes,
                        "Room for what is received, of both families' sockets together. Absent "
                        "where the kernel's module udp_diag is not loaded"};
constexpr Metric drops{"socket_drops", Type::u64, Kind::counter, Unit::packets,
                       "Packets that found no room in the socket, since it was opened"};
constexpr const Metric* metrics[] = {&rx_queue, &tx_queue, &rcvbuf, &drops};
constexpr Family sockets{"wireguard_transport",
                         "A device's own UDP sockets, IPv4 and IPv6 together", metrics, labels,
                         places};
constexpr const Family* families[] = {&sockets};

// 2. From values to values, from values to records.

void emit_device(const SeenDevice& device, const UdpSocket& seen, Sink& sink) {
  Readings<std::size(metrics)> readings;
  readings.add(rx_queue, seen.rx_queue_bytes);
  readings.add(tx_queue, seen.tx_queue_bytes);
  readings.add(rcvbuf, seen.rcvbuf_bytes);
  readings.add(drops, seen.drops);
  const Label whose[] = {{&device_label, device.name}, {&netns_label, device.netns}};
  sink.take(Record{sockets, whose, readings});
}

// 3. The collector.

class TransportCollector final : public Collector {
 public:
  explicit TransportCollector(const Services& services) : root_(services.root) {}

  bool is_sampled() const override { return false; }

  void read(Devices& devices, Report& report) override {
    for (auto& [name, space] : spaces_) space.ports.clear();
    // A device that was moved into a namespace keeps its sockets where it was made: perhaps here.
    for (const auto& device : devices.devices) {
      if (device.listen_port == 0) continue;
      spaces_[""].ports.push_back({device.listen_port, std::nullopt});
      if (device.netns.empty()) continue;
      spaces_[device.netns].ports.push_back({device.listen_port, std::nullopt});
    }
    // Others' sockets would keep a namespace alive that nobody else wants; our own stay open.
    std::erase_if(spaces_, [](const auto& space) {
      return !space.first.empty() && space.second.ports.empty();
    });
    for (auto& [name, space] : spaces_) {
      if (space.ports.empty()) continue;
      if (const auto seen = read(name, space); !seen) {
        space.ports.clear();
        auto error = seen.error();
        error.where =
            "the UDP sockets" + (name.empty() ? "" : " of netns " + name) + ": " + error.where;
        report.failed(error);
      }
    }
  }

  void emit(const Now&, const Devices& devices, const Peers&, Sink& sink) const override {
    for (const auto& device : devices.devices) {
      const auto* seen = find(device.netns, device.listen_port);
      if (seen == nullptr && !device.netns.empty()) seen = find("", device.listen_port);
      if (seen != nullptr) emit_device(device, *seen, sink);
    }
  }

 private:
  struct Space {
    std::uint64_t inode = 0;  // of another namespace
    std::optional<kernel::UdpSockets> sockets;
    std::vector<kernel::UdpPort> ports;
  };

  Result<Done> read(const std::string& name, Space& space) {
    kernel::sort_once(space.ports);
    std::filesystem::path path;
    if (!name.empty()) {
      path = kernel::namespace_path(root_, name);
      const auto inode = kernel::namespace_inode(path);
      if (!inode) return inode.error();
      if (std::exchange(space.inode, *inode) != *inode) space.sockets.reset();
    }
    if (!space.sockets) space.sockets.emplace(root_, udp_diag_, path);
    return space.sockets->read(space.ports);
  }

  const UdpSocket* find(const std::string& netns, std::uint16_t number) const {
    const auto space = spaces_.find(netns);
    if (space == spaces_.end()) return nullptr;
    const auto* port = kernel::find_port(std::span(space->second.ports), number);
    return port != nullptr && port->sum ? &*port->sum : nullptr;
  }

  const Root& root_;
  kernel::KernelModule udp_diag_{root_, "udp_diag"};
  std::map<std::string, Space> spaces_;  // by name; "": our own
};

std::unique_ptr<Collector> make(const Services& services, const config::Settings&) {
  return std::make_unique<TransportCollector>(services);
}

}  // namespace

extern const Entry transport;
const Entry transport{{"transport", Takes::truth, "true",
                       "Reads the UDP sockets of each device: queues, room, drops"},
                      families,
                      {},
                      make};

}  // namespace wgvitals::collect
