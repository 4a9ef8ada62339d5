// Latency and loss by ICMP echo, of configured hosts and of peers through their tunnels.

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <map>
#include <optional>
#include <utility>

#include "common/base/text.h"
#include "common/collect/collector.h"
#include "common/collect/probe_options.h"
#include "common/probe/window.h"

namespace wgvitals::collect {
namespace {

using config::BlockKind;
using config::Option;
using config::Settings;
using config::Takes;
using probe::PingOutcome;
using probe::PingTarget;

// 1. What is said. Names and types of the fields marked =T are Telegraf's.

constexpr LabelName url_label{"url"};
constexpr const LabelName* labels[] = {&url_label, &device_label, &netns_label, &public_key_label,
                                       &friendly_name_label};

constexpr Metric transmitted{"packets_transmitted",
                             Type::i64,
                             Kind::gauge,
                             Unit::packets,
                             "Probes answered or lost since the last gather",
                             {},
                             {},
                             true};
constexpr Metric received{"packets_received",        Type::i64, Kind::gauge, Unit::packets,
                          "Probes answered in time", {},        {},          true};
constexpr Metric loss{"percent_packet_loss",
                      Type::f64,
                      Kind::gauge,
                      Unit::percent,
                      "Share of the probes that was lost",
                      {"ping_droprate", "", 0, 0.01},
                      "wireguard_ping_packet_loss_ratio",
                      true};
constexpr Metric ttl{
    "ttl", Type::i64, Kind::gauge, Unit::none, "TTL or hop limit of the first answer",
    {},    {},        true};
constexpr Metric minimum{"minimum_response_ms", Type::f64, Kind::gauge, Unit::milliseconds,
                         "Shortest round trip", {},        {},          true};
constexpr Metric average{"average_response_ms", Type::f64,    Kind::gauge, Unit::milliseconds,
                         "Mean round trip",     {"ping", ""}, {},          true};
constexpr Metric maximum{"maximum_response_ms", Type::f64, Kind::gauge, Unit::milliseconds,
                         "Longest round trip",  {},        {},          true};
constexpr Metric deviation{"standard_deviation_ms",
                           Type::f64,
                           Kind::gauge,
                           Unit::milliseconds,
                           "Standard deviation of the round trips (population)",
                           {"ping_stddev", ""},
                           {},
                           true};
constexpr Metric percentile50{
    "percentile50_ms",           Type::f64,          Kind::gauge, Unit::milliseconds,
    "Median of the round trips", {"latency", "p50"}, {},          true};
constexpr Metric percentile95{"percentile95_ms",
                              Type::f64,
                              Kind::gauge,
                              Unit::milliseconds,
                              "95th percentile of the round trips",
                              {"latency", "p95"},
                              {},
                              true};
constexpr Metric percentile99{"percentile99_ms",
                              Type::f64,
                              Kind::gauge,
                              Unit::milliseconds,
                              "99th percentile of the round trips",
                              {"latency", "p99"},
                              {},
                              true};
constexpr Metric result_code{
    "result_code",
    Type::i64,
    Kind::gauge,
    Unit::none,
    "0: an answer came, 1: none, 2: no such host, or nothing could be sent",
    {},
    {},
    true};
constexpr Metric jitter{"jitter_ms",
                        Type::f64,
                        Kind::gauge,
                        Unit::milliseconds,
                        "Mean difference of successive round trips",
                        {"latency", "jitter"}};
constexpr Metric unsent{"packets_unsent", Type::i64, Kind::gauge, Unit::packets,
                        "Probes that never left (no route, no endpoint, no right): no loss"};
constexpr Metric duplicates{"duplicates", Type::i64, Kind::gauge, Unit::packets,
                            "Further answers to a probe"};
constexpr Metric reordered{"reordered", Type::i64, Kind::gauge, Unit::packets,
                           "Answers that came behind that of a later probe"};
constexpr Metric late{"late", Type::i64, Kind::gauge, Unit::packets,
                      "Answers behind the timeout, to probes that count as lost"};
constexpr Metric outage{"outage_ms", Type::f64, Kind::gauge, Unit::milliseconds,
                        "Longest time without an answer that reached into this window"};
constexpr Metric resolved{"resolved_address", Type::text, Kind::gauge, Unit::none,
                          "The address that was pinged"};
constexpr const Metric* metrics[] = {
    &transmitted, &received,  &loss,         &ttl,          &minimum,      &average,
    &maximum,     &deviation, &percentile50, &percentile95, &percentile99, &result_code,
    &jitter,      &unsent,    &duplicates,   &reordered,    &late,         &outage};
constexpr const Metric* texts[] = {&resolved};

// The identifiers of collectd's own ping plugin for plain hosts, also its NaN.
constexpr const Metric* dead_ones[] = {&average, &deviation};
constexpr Place places[] = {{"wireguard", &device_label, &url_label},
                            {"ping", nullptr, nullptr, dead_ones}};
constexpr Family numbers_family{"ping", "ICMP echo: latency and loss", metrics, labels, places,
                                true};
constexpr Family texts_family{"ping", "ICMP echo: addresses", texts, labels, {}, true};
constexpr const Family* families[] = {&numbers_family, &texts_family};

constexpr Option config_host{"host", Takes::texts,    "", "Hosts to ping: names or addresses", 0, 0,
                             "",     "hosts url urls"};
constexpr Option interval{"interval", Takes::duration, "1s", "Time from probe to probe of a host",
                          10,         3'600'000,       "",   "ping_interval"};
constexpr Option timeout{"timeout", Takes::duration,
                         "900ms",   "An answer that comes later is late, its probe lost",
                         10,        60'000};
constexpr Option count{
    "count", Takes::whole,
    "0",     "Probes a gather, an interval apart; 0: one an interval, all the time",
    0,       1000};
constexpr Option size{"size", Takes::whole, "56", "Bytes of ICMP payload", probe::least_ping_size,
                      65'000};
constexpr Option time_to_live{
    "ttl", Takes::whole, "0", "TTL or hop limit of the probes; 0: the system's", 0, 255};
constexpr Option tos{"tos", Takes::whole, "0", "Type of service or traffic class of the probes",
                     0,     255};
constexpr Option dont_fragment{"dont_fragment", Takes::truth, "false",
                               "Forbids to fragment the probes"};
constexpr Option max_missed{"max_missed",
                            Takes::whole,
                            "-1",
                            "Probes lost in a row until the host's name is resolved anew at once; "
                            "-1: off (it is resolved anew every minute anyway)",
                            -1,
                            1'000'000};
constexpr Option config_engine{"engine",
                               Takes::choice,
                               "wgvitals",
                               "What pings: our own engine, or liboping for at most 128 hosts",
                               0,
                               0,
                               "wgvitals|oping"};
constexpr const Option* block_options[] = {
    &config_host, &interval,      &timeout,       &count,        &size,       &time_to_live,
    &tos,         &dont_fragment, &probe_source,  &probe_device, &probe_mark, &probe_family,
    &max_missed,  &probe_slowest, &config_engine, &probe_labels};
constexpr BlockKind ping_block{"ping", "Hosts to ping, with what they share", block_options};
constexpr const BlockKind* blocks[] = {&ping_block};

constexpr Option ping_peers{"ping_peers", Takes::truth, "false",
                            "Pings each peer's tunnel address through its tunnel: the address "
                            "among its allowed IPs that is a single host's"};
constexpr Option ping_peer_include{"ping_peer_include", Takes::patterns, "",
                                   "Peers to ping; empty: all. Public keys or friendly names, "
                                   "exact or as /extended regular expressions/"};
constexpr Option ping_peer_exclude{"ping_peer_exclude", Takes::patterns, "", "Peers not to ping"};
constexpr Option ping_peer_addresses{"ping_peer_addresses",
                                     Takes::pairs,
                                     "",
                                     "Tunnel addresses by public key, where the allowed IPs do "
                                     "not tell: [inputs.wgvitals.ping_peer_addresses] \"KEY\" = "
                                     "\"10.0.0.2\"; collectd: PingPeerAddress \"KEY\" \"10.0.0.2\"",
                                     0,
                                     0,
                                     "",
                                     "ping_peer_address"};
constexpr Option ping_peer_interval{"ping_peer_interval",
                                    Takes::duration,
                                    "1s",
                                    "Time from probe to probe of a peer",
                                    10,
                                    3'600'000};
constexpr Option ping_peer_timeout{
    "ping_peer_timeout", Takes::duration, "900ms", "As timeout, of peers", 10, 60'000};
constexpr Option ping_peer_count{
    "ping_peer_count", Takes::whole, "0", "As count, of peers", 0, 1000};
constexpr Option ping_peer_size{"ping_peer_size",    Takes::whole,           "56",
                                "As size, of peers", probe::least_ping_size, 65'000};
constexpr const Option* options[] = {&ping_peers,          &ping_peer_include,  &ping_peer_exclude,
                                     &ping_peer_addresses, &ping_peer_interval, &ping_peer_timeout,
                                     &ping_peer_count,     &ping_peer_size};

// 2. From values to values, from values to records.

constexpr std::size_t most_kept = 1 << 22;  // probes in all windows; beyond, half is forgotten

constexpr int answered_code = 0, silent_code = 1, failed_code = 2;

PingTarget to_target(const Settings& block) {
  PingTarget target;
  target.interval = block.duration(interval);
  target.timeout = block.duration(timeout);
  target.size = static_cast<std::uint16_t>(block.whole(size));
  target.count = static_cast<std::uint16_t>(block.whole(count));
  target.slowest = static_cast<std::uint8_t>(block.whole(probe_slowest));
  target.path.ttl = static_cast<std::uint8_t>(block.whole(time_to_live));
  target.path.tos = static_cast<std::uint8_t>(block.whole(tos));
  target.path.dont_fragment = block.truth(dont_fragment);
  return target;
}

PingTarget to_peer_target(const Settings& settings) {
  PingTarget target;
  target.interval = settings.duration(ping_peer_interval);
  target.timeout = settings.duration(ping_peer_timeout);
  target.size = static_cast<std::uint16_t>(settings.whole(ping_peer_size));
  target.count = static_cast<std::uint16_t>(settings.whole(ping_peer_count));
  return target;
}

// The first allowed IP that is one host; family none where there is none.
Endpoint find_host_address(std::span<const Prefix> prefixes) {
  for (const auto& prefix : prefixes) {
    const bool is_host = prefix.length == (prefix.family == AddressFamily::ipv4 ? 32 : 128);
    if (is_host) return {prefix.address, 0, 0, prefix.family};
  }
  return {};
}

// What WireGuard counts for one probe: the inner packet, padded to 16 bytes, in a message of 32
// (drivers/net/wireguard/messages.h: struct message_data, and its authentication tag).
std::uint32_t to_wireguard_bytes(const PingTarget& target) {
  const std::uint32_t headers = target.path.family == AddressFamily::ipv4 ? 20 + 8 : 40 + 8;
  return 32 + (headers + target.size + 15) / 16 * 16;
}

using PingReadings = Readings<std::size(metrics)>;

// To the nanosecond: no clock tells more, and few digits are soon written.
double rounded(double ms) { return std::round(ms * 1e6) / 1e6; }

void add_times(const probe::PingSummary& summary, PingReadings& readings) {
  if (!summary.times) return;
  readings.add(minimum, summary.times->minimum);
  readings.add(average, rounded(summary.times->average));
  readings.add(maximum, summary.times->maximum);
  readings.add(deviation, rounded(summary.times->deviation));
  readings.add(percentile50, rounded(summary.times->percentile50));
  readings.add(percentile95, rounded(summary.times->percentile95));
  readings.add(percentile99, rounded(summary.times->percentile99));
}

PingReadings to_readings(const probe::PingSummary& summary) {
  PingReadings readings;
  readings.add(transmitted, summary.transmitted);
  readings.add(received, summary.received);
  readings.add(loss, summary.loss_percent);
  if (summary.ttl) readings.add(ttl, *summary.ttl);
  add_times(summary, readings);
  readings.add(result_code, summary.received > 0      ? answered_code
                            : summary.transmitted > 0 ? silent_code
                                                      : failed_code);
  if (summary.jitter) readings.add(jitter, rounded(*summary.jitter));
  readings.add(unsent, summary.unsent);
  readings.add(duplicates, summary.duplicates);
  readings.add(reordered, summary.reordered);
  readings.add(late, summary.late);
  readings.add(outage, summary.outage);
  return readings;
}

// 3. The collector.

struct Target {
  PingTarget target;
  probe::Pinger* pinger = nullptr;
  std::optional<probe::PingId> id;  // empty: not pinged now
  probe::PingWindow window;
  std::optional<Error> refused;  // why its engine does not take it

  // Whether there is something to tell. Bursts may be shorter than `count`, or longer than the time
  // between two gathers: what was settled since the last one is told in any case.
  bool settled() const { return window.tried() > 0; }
  // The first burst is as long as its count.
  bool first_is_complete() const {
    return window.tried() >= std::max<std::size_t>(1, target.count);
  }
};

struct HostTarget : Target {
  std::string url;
  bool is_name = true;                         // and no address
  AddressFamily family = AddressFamily::none;  // none: either
  std::uint32_t labels = 0;                    // a set of the collector's
  std::optional<unsigned> max_missed;
  std::string failure;      // why its name does not resolve, at the last try
  bool nameless = false;    // and never did
  bool asked_anew = false;  // for its name, since the last answer
};

struct PeerTarget : Target {
  std::uint32_t naming = 0;  // of the row when `wanted` was judged
  PublicKey key;
  DeviceId device = 0;
  bool wanted = false;
  bool homeless = false;            // no endpoint is known
  std::uint32_t settled_bytes = 0;  // since the last advance
};

// Which target an engine's outcome is about.
struct Reference {
  enum class To : std::uint8_t { nobody, host, peer } to = To::nobody;
  std::uint32_t index = 0;
};

struct UsedEngine {
  probe::Pinger* pinger;
  std::vector<Reference> by_id;  // identifiers are small
  std::vector<PingOutcome> outcomes;
};

class PingCollector final : public Collector {
 public:
  PingCollector(const Services& services, const Settings& settings)
      : resolver_(services.resolver),
        ping_peers_(settings.truth(ping_peers)),
        selection_(settings.texts(ping_peer_include), settings.texts(ping_peer_exclude)),
        peer_target_(to_peer_target(settings)) {
    engines_.push_back({&services.pinger, {}, {}});
    PeerNames sets;
    for (const auto* block : settings.blocks(ping_block)) add_hosts(services, *block, sets);
    sets_ = LabelSets(sets);
    for (auto& host : hosts_) host.labels = sets_.find(std::to_string(host.labels));
    for (const auto& row : settings.rows(ping_peer_addresses)) add_address(row[0], row[1]);
  }

  void read(Devices&, Report& report) override {
    poll();
    mistakes_.report(report);
    if (std::exchange(dropped_, false)) {
      report.failed({Errc::io, 0, "results were dropped: nobody has gathered for long"});
    }
    for (const auto& engine : engines_) {
      for (const auto& failure : engine.pinger->failures(probe::PingOwner::ping)) {
        report.failed(failure);
      }
    }
    for (const auto& host : hosts_) {
      if (!host.failure.empty()) report.failed({Errc::io, 0, host.failure});
      if (host.refused) report.failed(*host.refused);
    }
    for (const auto& peer : peers_) {
      if (peer.refused) report.failed(*peer.refused);
    }
  }

  void advance(const Now&, const Devices&, Peers& peers, Events&) override {
    if (ping_peers_) follow(peers);
  }

  void emit(const Now&, const Devices&, const Peers& peers, Sink& sink) const override {
    for (const auto& host : hosts_) emit_host(host, sink);
    const auto rows = peers.rows();
    for (Slot slot = 0; slot < peers_.size(); ++slot) {
      if (!peers_[slot].id || !rows[slot].shown || !peers.current(rows[slot])) continue;
      emit_peer(peers_[slot], peers.labels(slot), sink);
    }
  }

  void told() override {
    for (auto& host : hosts_) close(host);
    for (auto& peer : peers_) close(peer);
    for (const auto& engine : engines_) engine.pinger->gathered();
  }

  std::string unsettled() override {
    poll();
    std::size_t open = 0;
    std::size_t all = hosts_.size();
    for (const auto& host : hosts_) {
      open += !host.first_is_complete() && !host.nameless && !host.refused ? 1u : 0u;
    }
    for (const auto& peer : peers_) {
      all += peer.id ? 1u : 0u;
      open += peer.id && !peer.first_is_complete() ? 1u : 0u;
    }
    return open == 0 ? "" : std::to_string(open) + " of " + std::to_string(all) + " targets";
  }

 private:
  using AllLabels = InlineList<Label, std::size(labels) + most_peer_labels>;

  void add_hosts(const Services& services, const Settings& block, PeerNames& sets) {
    HostTarget host;
    host.target = to_target(block);
    if (!set_path(block, host.target.path, mistakes_)) return;
    host.family = to_family(block, host.target.path.source);
    host.pinger = block.text(config_engine) == "oping" ? &oping(services) : &services.pinger;
    if (block.whole(max_missed) >= 0)
      host.max_missed = static_cast<unsigned>(block.whole(max_missed));
    host.labels = static_cast<std::uint32_t>(sets.size());
    sets[std::to_string(host.labels)].labels = to_labels(block, mistakes_);
    if (block.texts(config_host).empty()) mistakes_.add(block, "a ping block without a host");
    for (const auto& url : block.texts(config_host)) {
      const bool known = std::any_of(hosts_.begin(), hosts_.end(),
                                     [&](const HostTarget& other) { return other.url == url; });
      if (known) {
        mistakes_.add(block, "host '" + url + "' is pinged already; the second is passed over");
        continue;
      }
      hosts_.push_back(host);
      hosts_.back().url = url;
      hosts_.back().is_name = !parse_address(url);
    }
  }

  void add_address(const std::string& key, const std::string& text) {
    const auto address = parse_address(text);
    if (!key_from_base64(key)) {
      mistakes_.add("ping_peer_addresses: '" + key.substr(0, 50) + "' is no public key");
    } else if (!address) {
      mistakes_.add("ping_peer_addresses: '" + text + "' is no address");
    } else {
      addresses_[key] = *address;
    }
  }

  probe::Pinger& oping(const Services& services) {
    if (!oping_) {
      oping_ = probe::make_oping(services.start_thread);
      engines_.push_back({oping_.get(), {}, {}});
    }
    return *oping_;
  }

  UsedEngine& engine_of(const Target& target) {
    return *std::find_if(engines_.begin(), engines_.end(),
                         [&](const UsedEngine& engine) { return engine.pinger == target.pinger; });
  }

  // Puts it where `address` is, or nowhere.
  void place(Target& target, const Endpoint& address, Reference reference) {
    if (target.id && address == target.target.address) return;
    if (target.id && address.family == target.target.path.family) {
      target.pinger->move(*target.id, address);
      target.target.address = address;
      return;
    }
    remove(target);
    target.refused.reset();
    if (address.family == AddressFamily::none) return;
    target.target.address = address;
    target.target.path.family = address.family;
    const auto added = target.pinger->add(probe::PingOwner::ping, target.target);
    if (!added) {
      target.refused = added.error();
      return;
    }
    target.id = *added;
    auto& by_id = engine_of(target).by_id;
    if (by_id.size() <= *added) by_id.resize(*added + 1);
    by_id[*added] = reference;
  }

  static void close(Target& target) {
    if (target.settled()) target.window.close();
  }

  void remove(Target& target) {
    if (!target.id) return;
    engine_of(target).by_id[*target.id] = {};
    target.pinger->remove(*target.id);
    target.id.reset();
  }

  // Names that became known, and what the engines found.
  void poll() {
    for (std::uint32_t i = 0; i < hosts_.size(); ++i) resolve(hosts_[i], i);
    for (auto& engine : engines_) {
      dropped_ = !engine.pinger->take(probe::PingOwner::ping, engine.outcomes) || dropped_;
      for (const auto& outcome : engine.outcomes) take(engine, outcome);
    }
    bound_memory();
  }

  // While nobody gathers, no window closes.
  void bound_memory() {
    std::size_t kept = 0;
    for (const auto& host : hosts_) kept += host.window.kept();
    for (const auto& peer : peers_) kept += peer.window.kept();
    if (kept <= most_kept) return;
    for (auto& host : hosts_) host.window.forget_half();
    for (auto& peer : peers_) peer.window.forget_half();
    dropped_ = true;
  }

  void resolve(HostTarget& host, std::uint32_t index) {
    const bool hopeless = host.refused && host.refused->code == Errc::malformed;
    if (hopeless || (host.id && !host.is_name)) return;
    if (host.max_missed && host.window.missed() > *host.max_missed && !host.asked_anew) {
      resolver_.refresh(host.url, host.family);
      host.asked_anew = true;
    }
    const auto answer = resolver_.find(host.url, host.family);
    const bool failed = answer.state == probe::Resolver::Answer::State::failed;
    host.failure = failed ? answer.why : "";
    host.nameless = failed && answer.address.family == AddressFamily::none;
    if (answer.address.family != AddressFamily::none) {
      place(host, answer.address, {Reference::To::host, index});
    }
  }

  void take(const UsedEngine& engine, const PingOutcome& outcome) {
    if (outcome.id >= engine.by_id.size()) return;
    const auto reference = engine.by_id[outcome.id];
    if (reference.to == Reference::To::host) {
      auto& host = hosts_[reference.index];
      host.window.add(outcome);
      if (outcome.kind == PingOutcome::Kind::answered) host.asked_anew = false;
    } else if (reference.to == Reference::To::peer) {
      take_of_peer(peers_[reference.index], outcome);
    }
  }

  static void take_of_peer(PeerTarget& peer, PingOutcome outcome) {
    using Kind = PingOutcome::Kind;
    if (outcome.kind == Kind::lost && peer.homeless) {
      // Userspace WireGuard swallows what the kernel's refuses.
      outcome.kind = Kind::unsent;
      outcome.error = EDESTADDRREQ;
    }
    peer.window.add(outcome);
    const bool sent = outcome.kind == Kind::answered || outcome.kind == Kind::lost;
    if (sent) peer.settled_bytes += to_wireguard_bytes(peer.target);
  }

  void follow(Peers& peers) {
    const auto rows = peers.rows();
    if (peers_.size() < rows.size()) peers_.resize(rows.size());
    for (Slot slot = 0; slot < rows.size(); ++slot) {
      auto& peer = peers_[slot];
      auto& row = rows[slot];
      if (!row.live || peer.naming != row.naming) judge(peers, slot);
      if (peer.wanted) place(peer, address_of(peers, slot), {Reference::To::peer, slot});
      peer.homeless = row.endpoint.family == AddressFamily::none;
      row.pinged = peer.id.has_value();
      row.pinged_bytes = std::exchange(peer.settled_bytes, 0);
      row.tunnel_rtt_ms = static_cast<float>(peer.window.mean_rtt_ms());
    }
  }

  // The slot has another peer, with another name, or nobody any more.
  void judge(const Peers& peers, Slot slot) {
    auto& peer = peers_[slot];
    const auto& row = peers.row(slot);
    const auto& device = peers.devices()[row.device];
    const bool wanted = row.live && row.selected && !row.sometimes_away &&
                        selection_.wants(peers.key_text(slot), peers.friendly_name(slot));
    const auto& path = peer.target.path;
    const bool same = peer.wanted && peer.key == row.key && peer.device == row.device &&
                      path.device == device.name && path.netns == device.netns;
    if (!wanted || !same) {
      remove(peer);
      peer = PeerTarget{};
    }
    if (wanted && !same) {
      peer.target = peer_target_;
      peer.target.path.device = device.name;
      peer.target.path.netns = device.netns;
      peer.pinger = engines_.front().pinger;
      peer.key = row.key;
      peer.device = row.device;
      peer.wanted = true;
    }
    peer.naming = row.naming;
  }

  Endpoint address_of(const Peers& peers, Slot slot) const {
    if (!addresses_.empty()) {
      const auto configured = addresses_.find(peers.key_text(slot));
      if (configured != addresses_.end()) return configured->second;
    }
    const auto& row = peers.row(slot);
    if (!peers.current(row)) return peers_[slot].target.address;  // not read this time
    return find_host_address(peers.prefixes.subspan(row.first_prefix, row.prefix_count));
  }

  void emit_host(const HostTarget& host, Sink& sink) const {
    AllLabels all;
    all.add(&url_label, host.url);
    for (const auto& label : sets_.labels(host.labels)) all.add(label);
    if (host.nameless) {
      Readings<1> readings;
      readings.add(result_code, failed_code);
      sink.take(Record{numbers_family, all, readings});
      return;
    }
    if (!host.settled()) return;
    sink.take(Record{numbers_family, all, to_readings(summarise(host))});
    char text[longest_endpoint];
    Readings<1> readings;
    readings.add(resolved, to_address_text(host.target.address, text));
    sink.take(Record{texts_family, all, readings});
  }

  void emit_peer(const PeerTarget& peer, const PeerLabelList& of_peer, Sink& sink) const {
    if (!peer.settled()) return;
    char text[longest_endpoint];
    AllLabels all;
    all.add(&url_label, to_address_text(peer.target.address, text));
    for (const auto& label : std::span<const Label>(of_peer)) all.add(label);
    sink.take(Record{numbers_family, all, to_readings(summarise(peer))});
  }

  probe::PingSummary summarise(const Target& target) const {
    return target.window.summarise(target.target.interval, scratch_);
  }

  probe::Resolver& resolver_;
  bool ping_peers_;
  Selection selection_;
  PingTarget peer_target_;
  std::map<std::string, Endpoint, std::less<>> addresses_;  // configured, by key in base64
  std::unique_ptr<probe::Pinger> oping_;
  std::vector<UsedEngine> engines_;  // our own first
  std::vector<HostTarget> hosts_;
  std::vector<PeerTarget> peers_;  // by slot
  LabelSets sets_;                 // of the blocks
  Mistakes mistakes_;
  bool dropped_ = false;
  mutable std::vector<double> scratch_;
};

}  // namespace

extern const Entry ping;
const Entry ping{
    {"ping", Takes::truth, "true", "Latency and loss of hosts (ping blocks) and peers (ping_peers)",
     0, 0, "", "ping_enabled"},
    families,
    options,
    [](const Services& services, const Settings& settings) -> std::unique_ptr<Collector> {
      const bool idle = !settings.truth(ping_peers) && settings.blocks(ping_block).empty();
      if (idle) return nullptr;
      return std::make_unique<PingCollector>(services, settings);
    },
    blocks};

}  // namespace wgvitals::collect
