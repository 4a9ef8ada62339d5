// Gathers of the wireguard collector from devices made by hand: its pure passes, without the
// reading.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "common/collect/collector.h"
#include "common/collect/select.h"
#include "tests/support/kept_report.h"
#include "tests/support/said.h"
#include "tests/support/services.h"
#include "tests/support/settings.h"

namespace wgvitals::collect {
extern const Entry wireguard, peer_names;
}

namespace wgvitals::test {

class Gathering {
 public:
  explicit Gathering(const std::string& toml = {}, bool resident = true)
      : settings_(test::settings(toml)),
        services_(resident),
        collector_(collect::wireguard.make(services_.services, settings_)) {
    peers.set_selection(collect::to_peer_selection(settings_));
  }

  void gather(Sink& sink) {
    collector_->advance(now, devices, peers, events);
    cut = collect::select(limit_, peers, scratch_);
    sink.begin(now);
    collector_->emit(now, devices, peers, sink);
    events.emit(sink);
    events.clear();
  }

  // A reading, and a gather, of another collector.
  void sample(collect::Collector& collector, KeptReport& report) {
    report = {};
    collector.read(devices, report);
    collector.advance(now, devices, peers, events);
  }
  std::string gather(collect::Collector& collector, KeptReport& report) {
    sample(collector, report);
    Said said;
    collector.emit(now, devices, peers, said);
    collector.told();
    return said.text();
  }

  // Adds a device; peers added behind it are its own.
  SeenDevice& add_device(const std::string& name, std::uint32_t index) {
    auto& device = devices.devices.emplace_back();
    device.name = name;
    device.identity = {4026, index};
    device.first_peer = static_cast<std::uint32_t>(devices.peers.size());
    return device;
  }
  SeenPeer& add_peer(const PublicKey& key) {
    ++devices.devices.back().peer_count;
    auto& peer = devices.peers.emplace_back();
    peer.key = key;
    peer.first_prefix = static_cast<std::uint32_t>(devices.prefixes.size());
    return peer;
  }
  void add_prefixes(std::uint32_t count) {
    for (std::uint32_t i = 0; i < count; ++i) {
      Prefix prefix;
      prefix.family = AddressFamily::ipv4;
      prefix.address = {10, static_cast<std::uint8_t>(i / 256), static_cast<std::uint8_t>(i), 0};
      prefix.length = 24;
      devices.prefixes.push_back(prefix);
    }
    devices.peers.back().prefix_count += count;
  }
  void pass(std::chrono::milliseconds time) {
    now.monotonic += time;
    now.wall += time;
  }

  Devices devices;
  Peers peers;
  Events events;
  // 2026-11-20 21:33:00 UTC
  Now now{std::chrono::steady_clock::time_point(std::chrono::hours(10)),
          std::chrono::system_clock::time_point(std::chrono::seconds(1795210380))};
  std::size_t cut = 0;

 private:
  config::Settings settings_;
  TestServices services_;
  collect::ShownLimit limit_ = collect::to_limit(settings_);
  std::vector<Slot> scratch_;
  std::unique_ptr<collect::Collector> collector_;
};

inline Endpoint ipv4(std::uint8_t last, std::uint16_t port) {
  Endpoint endpoint;
  endpoint.family = AddressFamily::ipv4;
  endpoint.address = {192, 0, 2, last};
  endpoint.port = port;
  return endpoint;
}

}  // namespace wgvitals::test
