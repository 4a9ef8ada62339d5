// The UDP sockets that tunnels' packets come and go by.

#include <linux/netlink.h>

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/collect/collector.h"
#include "common/kernel/namespace.h"
#include "common/kernel/net_files.h"
#include "common/kernel/udp_sockets.h"
#include "common/kernel/wireguard.h"

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

// The sockets of one port, together.
struct Port {
  std::uint16_t number = 0;
  std::optional<UdpSocket> sum;
};

template <class Number>
void add(std::optional<Number>& sum, const std::optional<Number>& more) {
  if (more) sum = sum.value_or(0) + *more;
}

void add(Port& port, const UdpSocket& socket) {
  auto& sum = port.sum ? *port.sum : port.sum.emplace();
  sum.rx_queue_bytes += socket.rx_queue_bytes;
  sum.tx_queue_bytes += socket.tx_queue_bytes;
  add(sum.rcvbuf_bytes, socket.rcvbuf_bytes);
  add(sum.drops, socket.drops);
}

// The ports that are asked for, in order.
using Ports = std::vector<Port>;

template <class Some>
auto* find_port(Some& ports, std::uint16_t number) {
  const auto found =
      std::lower_bound(ports.begin(), ports.end(), number,
                       [](const Port& port, std::uint16_t wanted) { return port.number < wanted; });
  using Found = decltype(&*found);
  return found != ports.end() && found->number == number ? &*found : Found{nullptr};
}

// 3. The collector.

// The sockets of one network namespace.
class Sockets {
 public:
  // `path` empty: our own.
  Sockets(const Root& root, const std::filesystem::path& path)
      : diag_(path.empty() ? kernel::WireGuardReader::open_own_netlink()
                           : kernel::open_netlink_in(path),
              NETLINK_SOCK_DIAG),
        files_(root, path) {}

  Result<Done> read(bool by_diag, Ports& ports) {
    const kernel::TakeUdpSocket take = [&](const UdpSocket& socket) {
      if (auto* port = find_port(ports, socket.port)) add(*port, socket);
    };
    if (by_diag) {
      auto dumped = kernel::read_udp_sockets(diag_, take);
      if (dumped || dumped.error().code != Errc::absent) return dumped;
    }
    return kernel::read_udp_tables(files_, take);
  }

 private:
  kernel::Netlink diag_;
  kernel::NetFiles files_;
};

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
    if (spaces_.empty() || spaces_.begin()->second.ports.empty()) return;  // "" is the first
    const bool by_diag = kernel::is_udp_diag_there(root_);
    for (auto& [name, space] : spaces_) {
      if (const auto seen = read(name, space, by_diag); !seen) {
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
    std::unique_ptr<Sockets> sockets;
    Ports ports;
  };

  Result<Done> read(const std::string& name, Space& space, bool by_diag) {
    std::sort(space.ports.begin(), space.ports.end(),
              [](const Port& left, const Port& right) { return left.number < right.number; });
    std::filesystem::path path;
    if (!name.empty()) {
      path = kernel::namespace_path(root_, name);
      const auto inode = kernel::namespace_inode(path);
      if (!inode) return inode.error();
      if (std::exchange(space.inode, *inode) != *inode) space.sockets.reset();
    }
    if (!space.sockets) space.sockets = std::make_unique<Sockets>(root_, path);
    return space.sockets->read(by_diag, space.ports);
  }

  const UdpSocket* find(const std::string& netns, std::uint16_t number) const {
    const auto space = spaces_.find(netns);
    if (space == spaces_.end()) return nullptr;
    const auto* port = find_port(space->second.ports, number);
    return port != nullptr && port->sum ? &*port->sum : nullptr;
  }

  static void emit_device(const SeenDevice& device, const UdpSocket& seen, Sink& sink) {
    Readings<std::size(metrics)> readings;
    readings.add(rx_queue, seen.rx_queue_bytes);
    readings.add(tx_queue, seen.tx_queue_bytes);
    readings.add(rcvbuf, seen.rcvbuf_bytes);
    readings.add(drops, seen.drops);
    const Label whose[] = {{&device_label, device.name}, {&netns_label, device.netns}};
    sink.take(Record{sockets, whose, readings});
  }

  const Root& root_;
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
