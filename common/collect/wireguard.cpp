// WireGuard devices and peers: who is there, when they last shook hands, what passed.

#include "common/kernel/wireguard.h"

#include <net/if.h>

#include <algorithm>
#include <array>
#include <map>
#include <span>
#include <utility>

#include "common/collect/collector.h"
#include "common/collect/select.h"
#include "common/probe/crypto.h"

namespace wgvitals::collect {

extern const Entry trace;

namespace {

using config::Option;
using config::Takes;

// 1. What is said. Names and types of the fields marked =T are Telegraf's.

constexpr LabelName type_label{"type", "", false};
constexpr const LabelName* device_labels[] = {&device_name_label, &netns_label, &type_label};
constexpr Place device_places[] = {{"wireguard", &device_name_label}};

constexpr Metric listen_port{"listen_port", Type::i64, Kind::gauge, Unit::none,
                             "UDP port",    {},        {},          true};
constexpr Metric firewall_mark{"firewall_mark",
                               Type::i64,
                               Kind::gauge,
                               Unit::none,
                               "Mark of outgoing packets, 0: none",
                               {},
                               {},
                               true};
constexpr const Metric* device_settings_metrics[] = {&listen_port, &firewall_mark};
constexpr Family device_settings{"wireguard_device", "A WireGuard device: settings",
                                 device_settings_metrics, device_labels, device_places};

constexpr Metric peers_count{
    "peers", Type::i64, Kind::gauge, Unit::none, "Peers configured", {"count", "peers"}, {}, true};
constexpr Metric mtu{"mtu", Type::i64, Kind::gauge, Unit::bytes, "MTU of the link"};
constexpr Metric link_up{"link_up", Type::i64, Kind::gauge, Unit::truth,
                         "The link is set up (IFF_UP)"};
constexpr Metric link_flaps{"link_flaps", Type::u64, Kind::counter, Unit::none,
                            "Changes of IFF_UP and of the interface index that were seen"};
constexpr Metric threaded{
    "threaded", Type::i64, Kind::gauge, Unit::truth,
    "Threads of the kernel take in its packets, one for each peer (threaded NAPI)"};

struct Counter {
  Metric metric;
  std::uint64_t LinkCounters::*value;
};
constexpr std::array counters{
    Counter{{"rx_bytes",
             Type::u64,
             Kind::counter,
             Unit::bytes,
             "Received by the link",
             {"if_octets", "", 0}},
            &LinkCounters::rx_bytes},
    Counter{{"tx_bytes",
             Type::u64,
             Kind::counter,
             Unit::bytes,
             "Sent by the link",
             {"if_octets", "", 1}},
            &LinkCounters::tx_bytes},
    Counter{{"rx_packets",
             Type::u64,
             Kind::counter,
             Unit::packets,
             "Received by the link",
             {"if_packets", "", 0}},
            &LinkCounters::rx_packets},
    Counter{{"tx_packets",
             Type::u64,
             Kind::counter,
             Unit::packets,
             "Sent by the link",
             {"if_packets", "", 1}},
            &LinkCounters::tx_packets},
    Counter{{"rx_errors",
             Type::u64,
             Kind::counter,
             Unit::packets,
             "Refused after decryption",
             {"if_errors", "", 0}},
            &LinkCounters::rx_errors},
    Counter{{"tx_errors",
             Type::u64,
             Kind::counter,
             Unit::packets,
             "Not sent: no peer, no endpoint, no valid packet",
             {"if_errors", "", 1}},
            &LinkCounters::tx_errors},
    Counter{{"rx_dropped",
             Type::u64,
             Kind::counter,
             Unit::packets,
             "Dropped on receipt",
             {"if_dropped", "", 0}},
            &LinkCounters::rx_dropped},
    Counter{{"tx_dropped",
             Type::u64,
             Kind::counter,
             Unit::packets,
             "Dropped while waiting for a handshake",
             {"if_dropped", "", 1}},
            &LinkCounters::tx_dropped},
    Counter{{"rx_frame_errors", Type::u64, Kind::counter, Unit::packets,
             "Source address outside the peer's allowed IPs (in-kernel only)"},
            &LinkCounters::rx_frame_errors},
    Counter{{"rx_length_errors", Type::u64, Kind::counter, Unit::packets,
             "Inner packet of a wrong length (in-kernel only)"},
            &LinkCounters::rx_length_errors},
};
constexpr auto device_state_metrics = [] {
  std::array<const Metric*, counters.size() + 5> metrics{&peers_count, &mtu, &link_up, &link_flaps,
                                                         &threaded};
  for (std::size_t i = 0; i < counters.size(); ++i) metrics[i + 5] = &counters[i].metric;
  return metrics;
}();
constexpr Family device_state{"wireguard_device", "A WireGuard device: state and link counters",
                              device_state_metrics, device_labels, device_places};

constexpr const LabelName* peer_labels[] = {&device_label, &netns_label, &public_key_label,
                                            &friendly_name_label};
constexpr Place peer_places[] = {{"wireguard", &device_label}};

constexpr Metric keepalive{
    "persistent_keepalive_interval_ns", Type::i64, Kind::gauge, Unit::nanoseconds,
    "Persistent keepalive, 0: off",     {},        {},          true};
constexpr Metric protocol_version{"protocol_version",        Type::i64, Kind::gauge, Unit::none,
                                  "Version of the protocol", {},        {},          true};
constexpr Metric allowed_ips{"allowed_ips",          Type::i64, Kind::gauge, Unit::none,
                             "How many allowed IPs", {},        {},          true};
constexpr Metric endpoint{
    "endpoint", Type::text, Kind::gauge, Unit::none, "Where its packets come from", {}, {}, true};
constexpr Metric allowed_peer_cidr{"allowed_peer_cidr",
                                   Type::text,
                                   Kind::gauge,
                                   Unit::none,
                                   "The allowed IPs, parted by commas",
                                   {},
                                   "allowed_ips",
                                   true};
constexpr const Metric* peer_settings_metrics[] = {&keepalive, &protocol_version, &allowed_ips,
                                                   &endpoint, &allowed_peer_cidr};
constexpr Family peer_settings{"wireguard_peer", "A peer: settings", peer_settings_metrics,
                               peer_labels,      peer_places,        true};

constexpr Metric last_handshake{"last_handshake_time_ns",
                                Type::i64,
                                Kind::gauge,
                                Unit::nanoseconds,
                                "Time of the last handshake, since 1970; absent: never",
                                {"time_ref", "", 0, 1e-9},
                                "wireguard_latest_handshake_seconds",
                                true};
constexpr Metric rx_bytes{"rx_bytes",
                          Type::i64,
                          Kind::counter,
                          Unit::bytes,
                          "WireGuard messages received from the peer",
                          {"if_octets", "", 0},
                          "wireguard_received_bytes_total",
                          true};
constexpr Metric tx_bytes{"tx_bytes",
                          Type::i64,
                          Kind::counter,
                          Unit::bytes,
                          "WireGuard messages sent to the peer, answered or not",
                          {"if_octets", "", 1},
                          "wireguard_sent_bytes_total",
                          true};
constexpr Metric handshake_age{"handshake_age_s",
                               Type::f64,
                               Kind::gauge,
                               Unit::seconds,
                               "Time since the last handshake",
                               {"duration", ""},
                               "wireguard_latest_handshake_delay_seconds"};
constexpr Metric handshakes{"handshakes", Type::u64, Kind::counter, Unit::none,
                            "Handshakes seen since start"};
constexpr Metric endpoint_changes{"endpoint_changes", Type::u64, Kind::counter, Unit::none,
                                  "Changes of the endpoint seen since start"};
constexpr Metric counter_resets{"counter_resets",
                                Type::u64,
                                Kind::counter,
                                Unit::none,
                                "Times that the peer's counters began anew, seen since start",
                                {},
                                "wireguard_peer_resets_total"};
constexpr const Metric* peer_state_metrics[] = {&last_handshake, &rx_bytes,   &tx_bytes,
                                                &handshake_age,  &handshakes, &endpoint_changes,
                                                &counter_resets};
constexpr Family peer_state{"wireguard_peer",   "A peer: handshake and traffic",
                            peer_state_metrics, peer_labels,
                            peer_places,        true};

constexpr const Family* families[] = {&device_settings, &device_state, &peer_settings, &peer_state};

constexpr Option interface_include{
    "interface_include",
    Takes::patterns,
    "",
    "Devices to read; empty: all. Exact names, or /extended regular expressions/ that may match "
    "anywhere",
    0,
    0,
    "",
    "devices"};
constexpr Option interface_exclude{"interface_exclude", Takes::patterns, "", "Devices not to read"};
constexpr Option interface_list{"interface", Takes::patterns, "",
                                "Devices to read or, with ignore_selected, not to read; as in "
                                "collectd's interface plugin"};
constexpr Option ignore_selected{"ignore_selected", Takes::truth, "false",
                                 "Turns the meaning of interface round"};
constexpr Option netns{"netns", Takes::texts, "",
                       "Other network namespaces to read: names as ip-netns(8) makes them, or "
                       "paths. Needs CAP_SYS_ADMIN"};
constexpr Option uapi_dir{"uapi_dir", Takes::text, "/var/run/wireguard",
                          "Folder of the userspace implementations' sockets"};
constexpr Option uapi_timeout{"uapi_timeout",
                              Takes::duration,
                              "1s",
                              "One deadline for all userspace sockets together; at most four "
                              "fifths of gather_wait, so that a hung one makes no gather late",
                              10,
                              60'000};
constexpr Option handshake_never{"handshake_never",
                                 Takes::choice,
                                 "omit",
                                 "last_handshake_time_ns of a peer that never shook hands: absent, "
                                 "0, or the negative number of Telegraf's own plugin",
                                 0,
                                 0,
                                 "omit|zero|telegraf"};
constexpr std::int64_t most_prefixes_shown = 1024;
constexpr Option allowed_ips_field_max{"allowed_ips_field_max",
                                       Takes::whole,
                                       "64",
                                       "Most allowed IPs told in allowed_peer_cidr; a peer with "
                                       "more goes without. 0: off",
                                       0,
                                       most_prefixes_shown};
constexpr const Option* options[] = {
    &interface_include, &interface_exclude, &interface_list,  &ignore_selected,      &netns,
    &uapi_dir,          &uapi_timeout,      &handshake_never, &allowed_ips_field_max};

// 2. From values to values, from values to records.

constexpr std::int64_t second = 1'000'000'000;
// Go's time.Time{}.UnixNano(): what Telegraf's inputs.wireguard writes for never.
constexpr std::int64_t telegraf_never = -6795364578871345152;

std::int64_t since_1970(const Now& now) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(now.wall.time_since_epoch()).count();
}

// Only probes ask for the devices' own keys, which they must not use, and the tap, which checks
// MACs by them; without the libraries, which they miss themselves, those that have to be derived
// are not told.
kernel::ToPublicKey to_public_key(const config::Settings& settings) {
  const auto* probes = config::find_block(settings.schema(), "probe");
  const bool probed = probes != nullptr && !settings.blocks(*probes).empty();
  if (!probed && !settings.truth(trace.enabled)) return nullptr;
  return probe::make_public_key_of();
}

kernel::WireGuardSources to_sources(const config::Settings& settings,
                                    std::chrono::milliseconds patience) {
  return {to_selection(settings,
                       {interface_include, interface_exclude, interface_list, ignore_selected}),
          settings.texts(netns), settings.text(uapi_dir),
          std::min(settings.duration(uapi_timeout), patience), to_public_key(settings)};
}

// Brings a row up to date with what was seen of its peer.
class PeerUpdate {
 public:
  // `wall_jump`: by how much the wall clock moved against the monotonic one since the last reading.
  PeerUpdate(const Now& now, std::int64_t wall_jump)
      : now_(since_1970(now)), wall_jump_(wall_jump) {}

  void first(const SeenPeer& seen, bool ages, bool counts, Peer& row) const {
    set(seen, ages, row);
    if (counts && seen.has_handshake) row.handshakes = 1;
  }

  void next(const SeenPeer& seen, bool ages, Peer& row) const {
    const auto before = row;
    set(seen, ages, row);
    const bool reset = row.rx_bytes < before.rx_bytes || row.tx_bytes < before.tx_bytes ||
                       (before.handshake_ns != 0 && row.handshake_ns == 0);
    row.rx_gained = reset ? 0 : row.rx_bytes - before.rx_bytes;
    row.tx_gained = reset ? 0 : row.tx_bytes - before.tx_bytes;
    if (reset) ++row.counter_resets;
    if (row.handshake_ns != 0 && is_new_handshake(before.handshake_ns, row.handshake_ns, ages)) {
      ++row.handshakes;
    }
    if (endpoint_changed(before, row)) ++row.endpoint_changes;
  }

  static bool endpoint_changed(const Peer& before, const Peer& row) {
    return before.endpoint.family != AddressFamily::none &&
           row.endpoint.family != AddressFamily::none && before.endpoint != row.endpoint;
  }

 private:
  void set(const SeenPeer& seen, bool ages, Peer& row) const {
    row.endpoint = seen.endpoint;
    row.rx_bytes = seen.rx_bytes;
    row.tx_bytes = seen.tx_bytes;
    row.handshake_ns = !seen.has_handshake ? 0
                       : ages              ? now_ - seen.handshake_ns
                                           : seen.handshake_ns;
    row.first_prefix = seen.first_prefix;
    row.prefix_count = seen.prefix_count;
    row.protocol_version = seen.protocol_version;
    row.keepalive_s = seen.keepalive_s;
    row.preshared_key_set = seen.preshared_key_set;
  }

  // An age is told in full seconds at worst and converted anew each time: only a clear step counts.
  bool is_new_handshake(std::int64_t before, std::int64_t after, bool ages) const {
    if (!ages) return after != before;
    return before == 0 || after - before - wall_jump_ > 3 * second / 2;
  }

  std::int64_t now_;
  std::int64_t wall_jump_;
};

void tell_endpoint(const Peers& peers, Slot slot, const Endpoint& before, Events& events) {
  char from[longest_endpoint];
  char to[longest_endpoint];
  events.add({"endpoint", Severity::okay, peers.identity_labels(slot), to_text(before, from),
              to_text(peers.row(slot).endpoint, to), "the peer's endpoint changed"});
}

// 3. The collector.

class WireGuardCollector final : public Collector {
 public:
  WireGuardCollector(const Services& services, const config::Settings& settings)
      : reader_(services.root, to_sources(settings, services.patience)),
        resident_(services.resident),
        never_(settings.text(handshake_never)),
        most_prefixes_(static_cast<std::size_t>(settings.whole(allowed_ips_field_max))),
        prefixes_text_(most_prefixes_ * (longest_prefix + 1)) {}

  void read(Devices& devices, Report& report) override try {
    reader_.read(devices, report);
  } catch (...) {
    devices.incomplete = true;
    throw;
  }

  void advance(const Now& now, const Devices& devices, Peers& peers, Events& events) override {
    const auto offset = since_1970(now) - now.monotonic.time_since_epoch().count();
    const PeerUpdate update(now, wall_offset_ ? offset - *wall_offset_ : 0);
    peers.begin_reading();
    peers.prefixes = devices.prefixes;
    for (const auto& device : devices.devices) {
      advance_link(device, now, events);
      advance_device(device, devices, update, peers, events);
    }
    peers.sweep([&](Slot slot) {
      events.add({"peer_removed", Severity::warning, peers.identity_labels(slot), "", "",
                  "the peer is no longer configured"});
    });
    forget_gone(devices, peers, now, events);
    wall_offset_ = offset;
  }

  void emit(const Now& now, const Devices& devices, const Peers& peers, Sink& sink) const override {
    for (const auto& device : devices.devices) emit_device(device, sink);
    const auto now_ns = since_1970(now);
    const auto rows = peers.rows();
    for (Slot slot = 0; slot < rows.size(); ++slot) {
      if (rows[slot].shown && peers.current(rows[slot])) emit_peer(peers, slot, now_ns, sink);
    }
  }

 private:
  struct LinkState {
    std::uint32_t index = 0;  // 0: not seen yet
    bool up = false;
    bool gone = false;  // and told so
    std::uint64_t flaps = 0;
    std::chrono::steady_clock::time_point seen;
  };

  static std::string link_key(std::string_view name, std::string_view in) {
    return std::string(name) + '@' + std::string(in);
  }

  void advance_link(const SeenDevice& device, const Now& now, Events& events) {
    auto& state = links_[link_key(device.name, device.netns)];
    state.seen = now.monotonic;
    const bool back = std::exchange(state.gone, false);
    if (back) {
      tell_link(device.name, device.netns, "gone", "present", "the device is back", Severity::okay,
                events);
    }
    if (!device.link) return;
    const bool up = (device.link->flags & IFF_UP) != 0;
    const bool turned = state.up != up;
    const bool made_anew = state.index != device.link->index;
    if (state.index != 0) {
      state.flaps += static_cast<std::uint64_t>(turned) + static_cast<std::uint64_t>(made_anew);
      if (turned) {
        tell_link(device.name, device.netns, state.up ? "up" : "down", up ? "up" : "down",
                  "the link was set up or down", up ? Severity::okay : Severity::failure, events);
      } else if (made_anew && !back) {
        tell_link(device.name, device.netns, "index " + std::to_string(state.index),
                  "index " + std::to_string(device.link->index), "the device was made anew",
                  Severity::warning, events);
      }
    }
    state.index = device.link->index;
    state.up = up;
  }

  static void tell_link(const std::string& name, const std::string& in, std::string_view from,
                        std::string_view to, std::string_view message, Severity severity,
                        Events& events) {
    const Peers::Device device{name, in, {}, 0, 0, true};  // the labels look into it
    PeerLabelList labels;
    Peers::add_device_labels(device, labels);
    events.add({"link", severity, labels, from, to, message});
  }

  void advance_device(const SeenDevice& device, const Devices& devices, const PeerUpdate& update,
                      Peers& peers, Events& events) {
    const bool known = peers.find_device(device.identity).has_value();
    const auto id = peers.device(device);
    Slot hint = 0;
    for (const auto& seen : devices.peers_of(device)) {
      bool is_new = false;
      const auto slot = peers.pair(id, seen.key, hint, is_new);
      hint = slot + 1;
      auto& row = peers.row(slot);
      if (is_new) {
        update.first(seen, device.handshakes_are_ages, known, row);
        if (known) {
          events.add({"peer_added", Severity::okay, peers.identity_labels(slot), "", "",
                      "the peer was configured"});
        }
        continue;
      }
      const auto before = row.endpoint;
      const auto changes = row.endpoint_changes;
      update.next(seen, device.handshakes_are_ages, row);
      if (row.endpoint_changes != changes) tell_endpoint(peers, slot, before, events);
    }
  }

  void forget_gone(const Devices& devices, Peers& peers, const Now& now, Events& events) {
    for (DeviceId id = 0; id < peers.devices().size(); ++id) {
      const auto& device = peers.devices()[id];
      if (!device.live || peers.current(device) || devices.is_unread(device.identity)) continue;
      const bool made_anew =
          std::any_of(devices.devices.begin(), devices.devices.end(), [&](const SeenDevice& seen) {
            return seen.name == device.name && seen.netns == device.netns;
          });
      if (!made_anew) {
        links_[link_key(device.name, device.netns)].gone = true;
        tell_link(device.name, device.netns, "present", "gone", "the device is gone",
                  Severity::failure, events);
      }
      peers.remove_device(id);
    }
    std::erase_if(links_, [&](const auto& entry) {
      return now.monotonic - entry.second.seen > std::chrono::hours(24);
    });
  }

  void emit_device(const SeenDevice& device, Sink& sink) const {
    const Label labels[] = {{&device_name_label, device.name},
                            {&netns_label, device.netns},
                            {&type_label, device.userspace ? "userspace" : "linux_kernel"}};
    Readings<std::size(device_settings_metrics)> settings;
    settings.add(listen_port, device.listen_port);
    settings.add(firewall_mark, device.fwmark);
    sink.take(Record{device_settings, labels, settings});

    Readings<std::size(device_state_metrics)> state;
    state.add(peers_count, device.peer_count);
    if (device.link) {
      state.add(mtu, device.link->mtu);
      state.add(link_up, (device.link->flags & IFF_UP) != 0);
      const auto known = links_.find(link_key(device.name, device.netns));
      if (resident_ && known != links_.end()) state.add(link_flaps, known->second.flaps);
      state.add(threaded, device.link->threaded);
      if (device.link->counters) {
        for (const auto& counter : counters) {
          state.add(counter.metric, (*device.link->counters).*counter.value);
        }
      }
    }
    sink.take(Record{device_state, labels, state});
  }

  void emit_peer(const Peers& peers, Slot slot, std::int64_t now_ns, Sink& sink) const {
    const auto& row = peers.row(slot);
    const auto labels = peers.labels(slot);

    Readings<std::size(peer_settings_metrics)> settings;
    char endpoint_text[longest_endpoint];
    settings.add(keepalive, row.keepalive_s * second);
    settings.add(protocol_version, row.protocol_version);
    settings.add(allowed_ips, row.prefix_count);
    if (const auto text = to_text(row.endpoint, endpoint_text); !text.empty()) {
      settings.add(endpoint, text);
    }
    if (const auto text = prefixes_of(peers, row); !text.empty()) {
      settings.add(allowed_peer_cidr, text);
    }
    sink.take(Record{peer_settings, labels, settings});

    Readings<std::size(peer_state_metrics)> state;
    if (row.handshake_ns != 0) {
      state.add(last_handshake, row.handshake_ns);
    } else if (never_ != "omit") {
      state.add(last_handshake, never_ == "zero" ? 0 : telegraf_never);
    }
    state.add(rx_bytes, row.rx_bytes);
    state.add(tx_bytes, row.tx_bytes);
    // A clock that was wound back leaves no age to tell.
    if (row.handshake_ns != 0 && row.handshake_ns <= now_ns) {
      const auto age_ms = (now_ns - row.handshake_ns) / 1'000'000;  // few digits are soon written
      state.add(handshake_age, static_cast<double>(age_ms) / 1000);
    }
    if (resident_) {
      state.add(handshakes, row.handshakes);
      state.add(endpoint_changes, row.endpoint_changes);
      state.add(counter_resets, row.counter_resets);
    }
    sink.take(Record{peer_state, labels, state});
  }

  // Empty where there are none, or more than may be told.
  std::string_view prefixes_of(const Peers& peers, const Peer& row) const {
    if (row.prefix_count > most_prefixes_) return {};
    const std::span<char> room(prefixes_text_);
    std::size_t size = 0;
    for (const auto& prefix : peers.prefixes.subspan(row.first_prefix, row.prefix_count)) {
      if (size > 0) room[size++] = ',';
      size += to_text(prefix, room.subspan(size)).size();
    }
    return {room.data(), size};
  }

  kernel::WireGuardReader reader_;
  bool resident_;
  std::string never_;
  std::size_t most_prefixes_;
  mutable std::vector<char> prefixes_text_;  // scratch of one record
  std::map<std::string, LinkState> links_;   // by name and namespace: an index may change
  std::optional<std::int64_t> wall_offset_;  // wall clock less monotonic clock, at the last reading
};

}  // namespace

extern const Entry wireguard;
const Entry wireguard{
    {"wireguard", Takes::truth, "true", "Devices and peers of WireGuard"},
    families,
    options,
    [](const Services& services, const config::Settings& settings) -> std::unique_ptr<Collector> {
      return std::make_unique<WireGuardCollector>(services, settings);
    }};

}  // namespace wgvitals::collect
