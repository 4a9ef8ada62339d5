// The way of each peer's packets outside the tunnel: the link they leave by, the path MTU, the
// round trip beside that through the tunnel.

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <utility>

#include "common/base/text.h"
#include "common/collect/collector.h"
#include "common/collect/mtu_searches.h"
#include "common/kernel/nesting.h"
#include "common/kernel/wireguard.h"

namespace wgvitals::collect {
namespace {

using config::Option;
using config::Takes;
using kernel::contains;
using Clock = std::chrono::steady_clock;

// 1. What is said.

constexpr const LabelName* labels[] = {&device_label, &netns_label, &public_key_label,
                                       &friendly_name_label};
constexpr Place places[] = {{"wireguard", &device_label}};

constexpr Metric interface_mtu{"interface_mtu", Type::i64, Kind::gauge, Unit::bytes,
                               "MTU of the WireGuard device"};
constexpr Metric path_mtu{"path_mtu", Type::i64, Kind::gauge, Unit::bytes,
                          "Largest packet that reaches the endpoint whole: as the kernel knows it, "
                          "or less where a search found less"};
constexpr Metric mtu_headroom{
    "mtu_headroom", Type::i64, Kind::gauge, Unit::bytes,
    "Path MTU less 60 (IPv4 endpoint) or 80 (IPv6) and the interface's MTU; negative: full packets "
    "are fragmented or lost"};
constexpr Metric tunnel_path_mtu{
    "tunnel_path_mtu", Type::i64, Kind::gauge, Unit::bytes,
    "Largest packet that passed through the tunnel, as a search found; less than the interface's "
    "MTU: full packets are lost"};
constexpr Metric underlay_rtt{"underlay_rtt_ms", Type::f64, Kind::gauge, Unit::milliseconds,
                              "Mean round trip to the endpoint's address outside the tunnel"};
constexpr Metric tunnel_rtt{"tunnel_rtt_ms", Type::f64, Kind::gauge, Unit::milliseconds,
                            "Mean round trip through the tunnel (ping_peers)"};
constexpr Metric overhead{"overhead_ms", Type::f64, Kind::gauge, Unit::milliseconds,
                          "What the tunnel adds: its round trip less the underlay's"};
constexpr Metric egress{
    "egress_via_tunnel", Type::i64, Kind::gauge, Unit::truth,
    "Of the peers whose allowed IPs take egress_address: 1 where ordinary packets to it leave by "
    "this peer's device, 0 where they leave by another link (a leak). Absent of others, and while "
    "there is no route at all"};
constexpr Metric nested{"nested", Type::i64, Kind::gauge, Unit::none,
                        "How many other tunnels of this host the endpoint is reached through"};
constexpr const Metric* number_metrics[] = {&interface_mtu,   &path_mtu,     &mtu_headroom,
                                            &tunnel_path_mtu, &underlay_rtt, &tunnel_rtt,
                                            &overhead,        &egress,       &nested};
constexpr Family numbers{
    "wireguard_path", "The way to a peer's endpoint", number_metrics, labels, places, true};

constexpr Metric via_device{"via_device", Type::text, Kind::gauge, Unit::none,
                            "The link that the tunnel's packets leave by"};
constexpr const Metric* text_metrics[] = {&via_device};
constexpr Family texts{
    "wireguard_path", "The way to a peer's endpoint: names", text_metrics, labels, {}, true};
constexpr const Family* families[] = {&numbers, &texts};

constexpr Option path_search{
    "path_search", Takes::truth, "false",
    "Searches the path MTU with don't-fragment echoes, outside to each endpoint and, while there "
    "is "
    "a session, through the tunnel to the peer's address: finds black holes that no ICMP tells of. "
    "Needs CAP_NET_RAW"};
constexpr Option path_search_interval{
    "path_search_interval", Takes::duration, "1h", "Time between two searches for a peer", 1'000,
    7 * 86'400'000};
constexpr Option path_underlay{
    "path_underlay", Takes::truth, "false",
    "Pings each endpoint's address outside the tunnel, every 10 s. Needs CAP_NET_RAW"};
constexpr Option egress_address{"egress_address", Takes::text, "",
                                "An address of the Internet, such as \"1.1.1.1\", that is to be "
                                "reached through a tunnel only: where do ordinary packets to it "
                                "leave? Nothing is sent. Empty: off"};
constexpr const Option* options[] = {&path_search, &path_search_interval, &path_underlay,
                                     &egress_address};

// 2. From values to values, from values to records.

constexpr std::size_t most_lookups = 256;  // a read; about 2 ms
constexpr std::chrono::seconds lookup_interval(60);
constexpr std::chrono::seconds session_life(180);  // drivers/net/wireguard/messages.h
constexpr std::chrono::seconds underlay_interval(10);
constexpr std::chrono::seconds underlay_timeout(2);

// What is asked of the kernel, and what came of it.
struct Looked {
  Endpoint endpoint;  // family none: nothing was asked
  std::uint32_t mark = 0;
  Clock::time_point at{};
  bool found = false;     // there is a route
  std::uint32_t mtu = 0;  // of the path
  unsigned nested = 0;
  const std::string* via = nullptr;
};

// Round trips outside the tunnel: of the window that is open or, until its first outcome, of the
// one before.
struct Underlay {
  std::optional<probe::PingId> id;
  Endpoint address;
  std::uint32_t mark = 0;
  double sum_ms = 0;
  unsigned count = 0;
  bool resolved = false;  // something came, or did not, since it was begun
  bool told = false;      // the next outcome begins a new window

  void take(const probe::PingOutcome& outcome) {
    using Kind = probe::PingOutcome::Kind;
    const bool answered = outcome.kind == Kind::answered;
    if (!answered && outcome.kind != Kind::lost && outcome.kind != Kind::unsent) return;
    resolved = true;
    if (std::exchange(told, false)) sum_ms = count = 0;
    if (!answered) return;
    sum_ms += static_cast<double>(outcome.rtt_ns) / 1e6;
    ++count;
  }
};

// All of a peer, by slot.
struct PeerPath {
  Looked looked;
  Underlay underlay;
  bool marked = false;  // by us: our search goes through its tunnel
};

// What holds for all peers of a device.
struct DeviceFacts {
  const SeenDevice* seen = nullptr;  // nullptr: in another namespace
  std::optional<Slot> egress;        // the peer that takes the address
};

// The first allowed IP that is one host; family none: there is none.
Endpoint to_tunnel_address(std::span<const Prefix> prefixes) {
  for (const auto& prefix : prefixes) {
    if (prefix.length != (prefix.family == AddressFamily::ipv4 ? 32 : 128)) continue;
    return {prefix.address, 0, 0, prefix.family};
  }
  return {};
}

bool has_session(const Peer& row, const Now& now) {
  if (row.handshake_ns == 0) return false;
  return now.wall.time_since_epoch() - std::chrono::nanoseconds(row.handshake_ns) < session_life;
}

using PathReadings = Readings<std::size(number_metrics)>;

void add_mtus(const Looked& looked, const MtuSearches::Found& searched, const Link& own,
              PathReadings& readings) {
  readings.add(interface_mtu, own.mtu);
  if (looked.found && looked.mtu != 0) {
    // The smaller is what passes now.
    const std::int64_t mtu =
        searched.outside == 0 ? looked.mtu : std::min(looked.mtu, searched.outside);
    readings.add(path_mtu, mtu);
    readings.add(mtu_headroom, mtu - own.mtu - probe::wireguard_overhead(looked.endpoint.family));
  }
  if (searched.inside != 0) readings.add(tunnel_path_mtu, searched.inside);
}

void add_times(const Underlay& underlay, const Peer& row, PathReadings& readings) {
  const auto outside = underlay.sum_ms / std::max(1u, underlay.count);
  const auto inside = static_cast<double>(row.tunnel_rtt_ms);
  if (underlay.count != 0) readings.add(underlay_rtt, outside);
  if (inside > 0) readings.add(tunnel_rtt, inside);
  if (underlay.count != 0 && inside > 0) readings.add(overhead, inside - outside);
}

// 3. The collector.

class PathCollector final : public Collector {
 public:
  PathCollector(const Services& services, const config::Settings& settings)
      : pinger_(services.pinger),
        netlink_(kernel::WireGuardReader::open_own_netlink(), NETLINK_ROUTE),
        wait_for_searches_(!services.resident),
        search_(settings.truth(path_search)),
        searches_(services.loop, settings.duration(path_search_interval), !services.resident),
        underlay_(settings.truth(path_underlay)) {
    const auto& text = settings.text(egress_address);
    if (text.empty()) return;
    egress_to_ = parse_address(text);
    if (!egress_to_) problem_ = "egress_address: \"" + text + "\" is no address";
  }

  void read(Devices& devices, Report& report) override {
    if (!problem_.empty()) report.failed({Errc::malformed, 0, problem_});
    look_up(devices);
    if (egress_to_) look_up_egress();
    if (failure_) report.failed(*std::exchange(failure_, std::nullopt));
    poll();
    searches_.report(report);
    for (const auto& failure : pinger_.failures(probe::PingOwner::path)) report.failed(failure);
    if (refused_) report.failed(*std::exchange(refused_, std::nullopt));
  }

  void advance(const Now& now, const Devices& devices, Peers& peers, Events&) override {
    note_devices(devices, peers);
    const auto rows = peers.rows();
    paths_.resize(rows.size());
    wanted_.clear();
    refresh_.clear();
    for (Slot slot = 0; slot < rows.size(); ++slot) follow(now, slot, peers);
    order_refreshes();
    seen_ = &devices;
    advanced_ = now.monotonic;
  }

  void emit(const Now&, const Devices&, const Peers& peers, Sink& sink) const override {
    const auto rows = peers.rows();
    for (Slot slot = 0; slot < paths_.size(); ++slot) {
      const auto& row = rows[slot];
      if (!row.shown || !peers.current(row)) continue;
      if (const auto* device = facts_[row.device].seen) emit_peer(slot, *device, peers, sink);
    }
  }

  void told() override {
    for (auto& path : paths_) path.underlay.told = true;
  }

  std::string unsettled() override {
    if (seen_ != nullptr) look_up(*seen_);
    poll();
    auto open = wanted_.size() + (wait_for_searches_ ? searches_.running() : 0);
    for (const auto& path : paths_) {
      open += path.underlay.id && !path.underlay.resolved ? 1u : 0u;
    }
    return open == 0 ? "" : std::to_string(open) + " answers";
  }

 private:
  // A question about a peer's endpoint; what comes back is put down in its slot.
  struct Wanted {
    Slot slot;
    std::uint32_t inside;  // link index of the device whose packet it is
  };

  void note_devices(const Devices& devices, const Peers& peers) {
    facts_.assign(peers.devices().size(), {});
    for (const auto& device : devices.devices) {
      if (!device.netns.empty() || !device.link) continue;
      if (const auto id = peers.find_device(device.identity)) facts_[*id].seen = &device;
    }
    if (!egress_to_) return;
    std::vector<int> longest(facts_.size(), -1);
    const auto rows = peers.rows();
    for (Slot slot = 0; slot < rows.size(); ++slot) {
      const auto& row = rows[slot];
      if (!peers.current(row)) continue;
      for (const auto& prefix : peers.prefixes.subspan(row.first_prefix, row.prefix_count)) {
        if (prefix.length <= longest[row.device] || !contains(prefix, *egress_to_)) continue;
        longest[row.device] = prefix.length;
        facts_[row.device].egress = slot;
      }
    }
  }

  void follow(const Now& now, Slot slot, Peers& peers) {
    auto& row = peers.row(slot);
    auto& path = paths_[slot];
    const auto* device = peers.current(row) ? facts_[row.device].seen : nullptr;
    if (device == nullptr) {
      if (!row.live) forget(path);
      return;
    }
    auto endpoint = row.endpoint;
    endpoint.port = 0;
    auto& looked = path.looked;
    if (looked.endpoint != endpoint || looked.mark != device->fwmark) {
      looked = {};
      looked.endpoint = endpoint;
      looked.mark = device->fwmark;
    }
    if (endpoint.family == AddressFamily::none) return forget(path);
    const Wanted question{slot, device->link->index};
    if (looked.at == Clock::time_point{}) {
      wanted_.push_back(question);
    } else if (looked.at + lookup_interval <= now.monotonic) {
      refresh_.push_back(question);
    }
    const bool wanted = row.selected && !row.sometimes_away;
    if (underlay_) ping(path, wanted);
    if (search_) search(now, slot, wanted, *device, peers);
  }

  // The oldest first, so that nobody is passed over for ever where there are more than a read
  // takes.
  void order_refreshes() {
    const auto room = most_lookups - std::min(most_lookups, wanted_.size());
    if (refresh_.size() > room) {
      const auto middle = refresh_.begin() + static_cast<std::ptrdiff_t>(room);
      std::nth_element(refresh_.begin(), middle, refresh_.end(), [this](auto& a, auto& b) {
        return paths_[a.slot].looked.at < paths_[b.slot].looked.at;
      });
      refresh_.resize(room);
    }
    wanted_.insert(wanted_.end(), refresh_.begin(), refresh_.end());
  }

  void forget(PeerPath& path) {
    if (path.underlay.id) pinger_.remove(*path.underlay.id);
    path = {};
  }

  void ping(PeerPath& path, bool wanted) {
    auto& underlay = path.underlay;
    const auto& looked = path.looked;
    const bool same = underlay.address == looked.endpoint && underlay.mark == looked.mark;
    if (underlay.id && (!wanted || !same)) {
      pinger_.remove(*underlay.id);
      underlay = {};
    }
    if (!wanted || underlay.id) return;
    probe::PingTarget target;
    target.address = looked.endpoint;
    target.path.family = looked.endpoint.family;
    target.path.mark = looked.mark;
    target.interval = underlay_interval;
    target.timeout = underlay_timeout;
    const auto added = pinger_.add(probe::PingOwner::path, target);
    if (!added) {
      refused_ = added.error();
      return;
    }
    underlay.id = *added;
    underlay.address = looked.endpoint;
    underlay.mark = looked.mark;
    if (*added >= slots_by_ping_.size()) slots_by_ping_.resize(*added + 1);
    slots_by_ping_[*added] = static_cast<Slot>(&path - paths_.data());
  }

  // Through the tunnel only while there is a session: a search must not make one.
  void search(const Now& now, Slot slot, bool wanted, const SeenDevice& device, Peers& peers) {
    auto& row = peers.row(slot);
    auto& path = paths_[slot];
    searches_.follow(slot, row.key, path.looked.endpoint, now.monotonic);
    if (wanted && searches_.due(slot, now.monotonic)) {
      probe::MtuQuestion outside;
      outside.path.to = path.looked.endpoint;
      outside.path.mark = path.looked.mark;
      std::optional<probe::MtuQuestion> inside;
      const auto prefixes = peers.prefixes.subspan(row.first_prefix, row.prefix_count);
      if (const auto to = to_tunnel_address(prefixes);
          to.family != AddressFamily::none && has_session(row, now)) {
        inside.emplace();
        inside->path.to = to;
        inside->path.device = device.name;
        inside->most = device.link->mtu;
      }
      searches_.begin(slot, outside, inside, now.monotonic);
    }
    const bool inside = searches_.runs_inside(slot);
    if (inside && !row.pinged) path.marked = row.pinged = true;
    if (!inside && std::exchange(path.marked, false)) row.pinged = false;
  }

  void look_up(const Devices& devices) {
    links_.clear();
    const auto count = std::min(wanted_.size(), most_lookups);
    for (const auto& [slot, inside] : std::span(wanted_).first(count)) {
      look_up(devices, inside, paths_[slot].looked);
    }
    wanted_.erase(wanted_.begin(), wanted_.begin() + static_cast<std::ptrdiff_t>(count));
  }

  void look_up(const Devices& devices, std::uint32_t inside, Looked& looked) {
    looked.at = advanced_;
    looked.found = false;
    const auto way =
        kernel::read_way([this](const kernel::RouteQuestion& question) { return route(question); },
                         devices, {.to = looked.endpoint, .from = {}, .mark = looked.mark}, inside);
    if (!way) return;
    const auto* link = find_link(way->route.link);
    if (link == nullptr) return;
    looked.found = true;
    looked.mtu = kernel::path_mtu(way->route, *link);
    looked.nested = static_cast<unsigned>(way->tunnels.size());
    looked.via = &*names_.insert(text::to_printable(link->name)).first;
  }

  Result<kernel::Route> route(const kernel::RouteQuestion& question) {
    auto found = kernel::read_route(netlink_, question);
    if (!found && found.error().code != Errc::absent) failure_ = found.error();
    return found;
  }

  void look_up_egress() {
    const auto found = route({.to = *egress_to_, .from = {}});
    egress_link_ = found ? std::optional(found->link) : std::nullopt;
  }

  // Each link once a pass.
  const Link* find_link(std::uint32_t index) {
    const auto known = links_.find(index);
    if (known != links_.end()) return &known->second;
    auto link = kernel::read_link(netlink_, index);
    if (!link) return nullptr;
    return &links_.emplace(index, std::move(*link)).first->second;
  }

  void poll() {
    searches_.poll();
    if (!underlay_) return;
    (void)pinger_.take(probe::PingOwner::path, outcomes_);  // of means none is missed
    for (const auto& outcome : outcomes_) {
      if (outcome.id >= slots_by_ping_.size()) continue;
      const auto slot = slots_by_ping_[outcome.id];
      if (slot < paths_.size() && paths_[slot].underlay.id == outcome.id) {
        paths_[slot].underlay.take(outcome);
      }
    }
  }

  void emit_peer(Slot slot, const SeenDevice& device, const Peers& peers, Sink& sink) const {
    const auto& path = paths_[slot];
    const bool carries = facts_[peers.row(slot).device].egress == slot && egress_link_;
    if (!path.looked.found && !carries) return;
    PathReadings readings;
    add_mtus(path.looked, searches_.found(slot), *device.link, readings);
    add_times(path.underlay, peers.row(slot), readings);
    if (carries) readings.add(egress, *egress_link_ == device.link->index);
    if (path.looked.found) readings.add(nested, path.looked.nested);
    const auto whose = peers.labels(slot);
    sink.take(Record{numbers, whose, readings});
    if (!path.looked.found || path.looked.via->empty()) return;
    Readings<1> names;
    names.add(via_device, std::string_view(*path.looked.via));
    sink.take(Record{texts, whose, names});
  }

  probe::Pinger& pinger_;
  kernel::Netlink netlink_;
  bool wait_for_searches_;
  bool search_;
  MtuSearches searches_;
  bool underlay_;
  std::optional<Endpoint> egress_to_;
  std::optional<std::uint32_t> egress_link_;  // where it leaves; empty: no route
  std::string problem_;                       // of the configuration

  std::vector<PeerPath> paths_;     // by slot
  std::vector<DeviceFacts> facts_;  // by DeviceId, of the last advance
  Clock::time_point advanced_{};    // when the last advance was
  const Devices* seen_ = nullptr;   // at the last advance; the engine's
  std::vector<Wanted> wanted_;      // to look up: what is new or moved comes first
  std::vector<Wanted> refresh_;
  std::map<std::uint32_t, Link> links_;
  std::set<std::string> names_;      // of links
  std::vector<Slot> slots_by_ping_;  // identifiers are small
  std::vector<probe::PingOutcome> outcomes_;
  std::optional<Error> failure_;
  std::optional<Error> refused_;
};

std::unique_ptr<Collector> make(const Services& services, const config::Settings& settings) {
  return std::make_unique<PathCollector>(services, settings);
}

}  // namespace

extern const Entry path;
const Entry path{
    {"path", Takes::truth, "false",
     "Reads the kernel's route to each peer's endpoint: link, path MTU, tunnels within "
     "tunnels. Costs no packet"},
    families,
    options,
    make};

}  // namespace wgvitals::collect
