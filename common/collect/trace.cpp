// Real handshakes, as they pass by on the wire: how long they take, and what Linux counts nowhere.

#include <algorithm>
#include <array>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "common/collect/collector.h"
#include "common/collect/refused_watch.h"
#include "common/collect/tap_watch.h"
#include "common/kernel/namespace.h"
#include "common/model/label_names.h"
#include "common/probe/crypto.h"
#include "common/trace/tap.h"

namespace wgvitals::collect {
namespace {

using config::Option;
using config::Takes;
using trace::TracedDevice;

// 1. What is said.

constexpr LabelName source_label{"source"};
constexpr const LabelName* labels[] = {&device_label, &netns_label, &public_key_label,
                                       &friendly_name_label, &source_label};
constexpr Place places[] = {{"wireguard", &device_label}, {"wireguard"}};

constexpr Metric handshake_rtt{
    "handshake_rtt_ms", Type::f64, Kind::gauge, Unit::milliseconds,
    "Round trip of a handshake on the wire: from the device's initiation to the peer's response, "
    "or from its response to the peer's first packet. The last one, told once: there is one about "
    "every two minutes, while there is traffic"};
constexpr Metric invalid_mac{
    "invalid_mac", Type::u64, Kind::counter, Unit::packets,
    "Initiations and responses that came to the device's port with a wrong mac1: not meant for "
    "its key. Absent where its public key is not known"};
constexpr Metric cookies_sent{"cookies_sent", Type::u64, Kind::counter, Unit::packets,
                              "Initiations that the device answered with a cookie: it is loaded"};
constexpr Metric cookies_received{"cookies_received", Type::u64, Kind::counter, Unit::packets,
                                  "Cookies that answered the device's messages: a peer is loaded"};
constexpr Metric refused_initiations{
    "refused_initiations", Type::u64, Kind::counter, Unit::packets,
    "Initiations from this address without a response within 2 s: a wrong or unknown key, a "
    "replay, too many. Addresses can be made up"};
constexpr Metric tap_dropped{
    "tap_dropped", Type::u64, Kind::counter, Unit::packets,
    "Handshake messages that the tap had no room for: they are in no other count. Of the "
    "namespace, not of a device"};
constexpr Metric auth_failures{
    "auth_failures", Type::u64, Kind::counter, Unit::packets,
    "Data packets for a session of the device that are not encrypted with its key, or damaged. "
    "Since the program was attached; absent for userspace devices"};
constexpr Metric replays{
    "replays", Type::u64, Kind::counter, Unit::packets,
    "Authentic data packets that came again, or after 8128 newer ones. Since the program was "
    "attached; absent for userspace devices"};
constexpr Metric unknown_index{
    "unknown_index", Type::u64, Kind::counter, Unit::packets,
    "Data packets to the device's port for a session that it does not have: it has expired, or the "
    "device was restarted, or they are made up. Since the program was attached; absent for "
    "userspace devices"};
constexpr const Metric* metrics[] = {
    &handshake_rtt, &invalid_mac,   &cookies_sent, &cookies_received, &refused_initiations,
    &tap_dropped,   &auth_failures, &replays,      &unknown_index};
constexpr Family family{"wireguard_trace",
                        "Handshakes on the wire, and what Linux counts nowhere",
                        metrics,
                        labels,
                        places,
                        true};
constexpr const Family* families[] = {&family};

constexpr Option trace_sources{
    "trace_sources", Takes::truth, "false",
    "Tells refused_initiations by source address, the ten busiest of each device"};
constexpr Option trace_refused_data{"trace_refused_data", Takes::truth, "false",
                                    "Counts, with trace, the data packets that in-kernel devices "
                                    "refuse, by an eBPF program that looks at each "
                                    "packet the host frees. Needs CAP_BPF, CAP_PERFMON and libbpf"};
constexpr const Option* options[] = {&trace_sources, &trace_refused_data};

// 2. From values to values, from values to records.

constexpr std::size_t most_sources_told = 10;

double to_ms(std::chrono::nanoseconds time) { return static_cast<double>(time.count()) / 1e6; }

// A tap does not see the scope of an address.
auto to_order(const Endpoint& endpoint) {
  return std::tuple(endpoint.family, endpoint.address, endpoint.port);
}

// A time that is not yet a row's: a peer that has just roamed is known at the next reading.
struct NewTime {
  trace::HandshakeTime seen;
  bool found = false, waited = false;
};
auto order_of(const NewTime& time) { return to_order(time.seen.peer); }

void emit_device(const SeenDevice& device, const trace::DeviceCounts* counts,
                 const std::optional<trace::RefusedPackets>& refused, Sink& sink) {
  if (counts == nullptr && !refused) return;
  Readings<6> readings;
  if (counts != nullptr) {
    if (counts->macs_checked) readings.add(invalid_mac, counts->invalid_mac);
    readings.add(cookies_sent, counts->cookies_sent);
    readings.add(cookies_received, counts->cookies_received);
  }
  if (refused) {
    readings.add(auth_failures, refused->auth_failures);
    readings.add(replays, refused->replays);
    readings.add(unknown_index, refused->unknown_index);
  }
  const Label whose[] = {{&device_label, device.name}, {&netns_label, device.netns}};
  sink.take(Record{family, whose, readings});
}

void emit_source(const SeenDevice& device, const trace::Refused& refused, Sink& sink) {
  Readings<1> readings;
  readings.add(refused_initiations, refused.count);
  char text[longest_endpoint];
  const Label whose[] = {{&device_label, device.name},
                         {&netns_label, device.netns},
                         {&source_label, to_address_text(refused.source, text)}};
  sink.take(Record{family, whose, readings});
}

// What two taps saw of a device.
void add(std::vector<trace::DeviceCounts>& sums, const trace::DeviceCounts& more) {
  const auto known = std::ranges::find(sums, more.device, &trace::DeviceCounts::device);
  if (known == sums.end()) {
    sums.push_back(more);
    return;
  }
  known->invalid_mac += more.invalid_mac;
  known->cookies_sent += more.cookies_sent;
  known->cookies_received += more.cookies_received;
}

// 3. The collector.

// Its own libraries for each tap, because both threads use them, under the tap's lock.
Result<trace::Mac1For> make_mac1_for() {
  const auto crypto = probe::Crypto::load();
  if (!crypto) {
    auto error = crypto.error();
    error.where = "invalid MACs are not counted: " + error.where;
    return error;
  }
  return trace::Mac1For([crypto = *crypto](const PublicKey& receiver) {
    constexpr std::array<std::uint8_t, 8> label{'m', 'a', 'c', '1', '-', '-', '-', '-'};
    return [crypto, key = crypto->hash({label, receiver.bytes})](trace::Bytes signed_part) {
      return crypto->mac(key, signed_part);
    };
  });
}

class TraceCollector final : public Collector {
 public:
  TraceCollector(const Services& services, const config::Settings& settings)
      : root_(services.root), loop_(services.loop), by_source_(settings.truth(trace_sources)) {
    if (settings.truth(trace_refused_data)) refused_.emplace(services);
  }

  void read(Devices& devices, Report& report) override {
    wish(devices);
    for (auto& [name, space] : spaces_) {
      if (const auto tapped = read(name, space, report); !tapped) {
        auto error = tapped.error();
        if (!name.empty()) error.where = "netns " + name + ": " + error.where;
        report.failed(error);
      }
    }
    if (refused_) refused_->read(devices, report);
  }

  void advance(const Now&, const Devices&, Peers& peers, Events&) override {
    for (auto& [name, space] : spaces_) {
      for (const auto& time : std::exchange(space.tapped.times, {})) new_.push_back({time});
    }
    if (new_.empty()) return;
    std::ranges::stable_sort(new_, {}, order_of);
    const auto rows = peers.rows();
    for (Slot slot = 0; slot < rows.size(); ++slot) {
      if (peers.current(rows[slot])) keep_times_of(slot, peers);
    }
    std::erase_if(new_,
                  [](NewTime& time) { return time.found || std::exchange(time.waited, true); });
  }

  void emit(const Now&, const Devices& devices, const Peers& peers, Sink& sink) const override {
    std::vector<trace::DeviceCounts> sums;
    std::vector<trace::Refused> refused;
    for (const auto& [name, space] : spaces_) {
      if (!space.watch) continue;
      for (const auto& counts : space.tapped.counts) add(sums, counts);
      refused.insert(refused.end(), space.tapped.refused.begin(), space.tapped.refused.end());
      emit_tap(name, space, sink);
    }
    std::ranges::stable_sort(refused, std::ranges::greater(), &trace::Refused::count);
    for (const auto& device : devices.devices) {
      const auto counts = std::ranges::find(sums, device.identity, &trace::DeviceCounts::device);
      emit_device(device, counts == sums.end() ? nullptr : &*counts,
                  refused_ ? refused_->of(device) : std::nullopt, sink);
      if (by_source_) emit_sources(device, refused, sink);
    }
    for (const auto& [slot, one] : times_) {
      const auto& row = peers.row(slot);
      if (!row.shown || !peers.current(row) || row.key != one.key) continue;
      Readings<1> readings;
      readings.add(handshake_rtt, to_ms(one.time));
      sink.take(Record{family, peers.labels(slot), readings});
    }
  }

  void told() override { times_.clear(); }

 private:
  // A network namespace.
  struct Space {
    std::uint64_t inode = 0;  // of another one
    std::unique_ptr<TapWatch> watch;
    std::vector<TracedDevice> wanted, given;
    std::optional<Error> blind;  // why MACs are not checked
    Tapped tapped;
  };
  struct Told {
    PublicKey key;  // of the row, which may have gone to another peer
    std::chrono::nanoseconds time;
  };

  // A device that was moved into a namespace keeps its sockets where it was made: perhaps here.
  void wish(const Devices& devices) {
    for (auto& [name, space] : spaces_) {
      std::erase_if(space.wanted,
                    [&](const TracedDevice& one) { return !devices.is_unread(one.identity); });
    }
    for (const bool own : {true, false}) {
      for (const auto& device : devices.devices) {
        if (device.listen_port == 0 || device.netns.empty() != own) continue;
        want(spaces_[""], device);
        if (!own) want(spaces_[device.netns], device);
      }
    }
    // A tap would keep a namespace alive that nobody else wants.
    std::erase_if(spaces_, [](const auto& space) { return space.second.wanted.empty(); });
  }

  // The first of a port stays.
  static void want(Space& space, const SeenDevice& device) {
    const bool taken = std::ranges::any_of(space.wanted, [&](const TracedDevice& one) {
      return one.port == device.listen_port || one.identity == device.identity;
    });
    if (!taken) space.wanted.push_back({device.identity, device.listen_port, device.key});
  }

  Result<Done> read(const std::string& name, Space& space, Report& report) {
    if (space.tapped.failure) space.watch.reset();
    if (auto kept = keep_namespace(name, space); !kept) return kept;
    if (!space.watch) {
      auto tap = name.empty()
                     ? trace::open_tap()
                     : kernel::open_in(kernel::namespace_path(root_, name), trace::open_tap);
      if (!tap) return tap.error();
      auto mac1_for = make_mac1_for();
      space.blind = mac1_for ? std::nullopt : std::optional(mac1_for.error());
      space.watch = std::make_unique<TapWatch>(loop_, std::move(*tap),
                                               mac1_for ? std::move(*mac1_for) : trace::Mac1For());
      space.given.clear();
    }
    if (space.blind) report.failed(*space.blind);
    if (space.given != space.wanted) space.watch->set_devices(space.given = space.wanted);
    space.watch->take(space.tapped);
    if (space.tapped.failure) return *space.tapped.failure;
    return Done{};
  }

  // Another one under the old name needs another tap.
  Result<Done> keep_namespace(const std::string& name, Space& space) const {
    if (name.empty()) return Done{};
    const auto inode = kernel::namespace_inode(kernel::namespace_path(root_, name));
    if (!inode && space.watch) return Done{};  // its name is gone for now, and the tap sees on
    if (!inode) return inode.error();
    if (std::exchange(space.inode, *inode) != *inode) space.watch.reset();
    return Done{};
  }

  // The last one counts.
  void keep_times_of(Slot slot, const Peers& peers) {
    const auto& row = peers.row(slot);
    const auto wanted = to_order(row.endpoint);
    auto found = std::ranges::lower_bound(new_, wanted, {}, order_of);
    for (; found != new_.end() && order_of(*found) == wanted; ++found) {
      if (found->seen.device != peers.devices()[row.device].identity) continue;
      found->found = true;
      times_[slot] = {row.key, found->seen.time};
    }
  }

  static void emit_tap(const std::string& netns, const Space& space, Sink& sink) {
    Readings<1> readings;
    readings.add(tap_dropped, space.tapped.dropped);
    const Label where[] = {{&netns_label, netns}};
    sink.take(Record{family, where, readings});
  }

  // `refused`: the busiest first.
  static void emit_sources(const SeenDevice& device, const std::vector<trace::Refused>& refused,
                           Sink& sink) {
    std::size_t told = 0;
    for (const auto& one : refused) {
      if (one.device != device.identity) continue;
      if (told++ == most_sources_told) return;
      emit_source(device, one, sink);
    }
  }

  const Root& root_;
  probe::Loop& loop_;
  const bool by_source_;
  std::map<std::string, Space> spaces_;  // by name; "": our own
  std::optional<RefusedWatch> refused_;
  std::vector<NewTime> new_;
  std::map<Slot, Told> times_;  // not yet told
};

std::unique_ptr<Collector> make(const Services& services, const config::Settings& settings) {
  if (!services.resident) return nullptr;  // handshakes are too rare for a moment's look
  return std::make_unique<TraceCollector>(services, settings);
}

}  // namespace

extern const Entry trace;
const Entry trace{{"trace", Takes::truth, "false",
                   "Watches the handshakes of each device on the wire, by a packet socket with a "
                   "filter: their time, wrong MACs, cookies. Needs CAP_NET_RAW; costs the host "
                   "some time for every packet that it sends or receives"},
                  families,
                  options,
                  make};

}  // namespace wgvitals::collect
