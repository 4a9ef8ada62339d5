// The UDP sockets that tunnels' packets come and go by.

#include <iterator>
#include <memory>

#include "common/collect/collector.h"
#include "common/kernel/device_sockets.h"

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
  explicit TransportCollector(const Services& services) : sockets_(services.root) {}

  bool is_sampled() const override { return false; }

  void read(Devices& devices, Report& report) override { sockets_.read(devices, report); }

  void emit(const Now&, const Devices& devices, const Peers&, Sink& sink) const override {
    for (const auto& device : devices.devices) {
      if (const auto* seen = sockets_.find(device)) emit_device(device, *seen, sink);
    }
  }

 private:
  kernel::DeviceSockets sockets_;
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
