// WireGuard servers: a real handshake with each, and packets through the tunnel that comes of it.

#include "common/probe/handshake.h"

#include <algorithm>
#include <random>
#include <utility>

#include "common/base/text.h"
#include "common/collect/collector.h"
#include "common/collect/probe_options.h"
#include "common/collect/services.h"
#include "common/model/label_names.h"
#include "common/probe/key_file.h"

namespace wgvitals::collect {

extern const Entry wireguard;

namespace {

using config::BlockKind;
using config::Option;
using config::Settings;
using config::Takes;
using probe::HandshakeOutcome;
using probe::HandshakeTarget;

// 1. What is said.

constexpr LabelName probe_label{"probe"};
constexpr LabelName server_label{"server", "", false};
constexpr const LabelName* labels[] = {&probe_label, &server_label};
constexpr Place places[] = {{"wireguard", &probe_label, &probe_label, {}, "probe_"}};

constexpr Metric ok{"ok", Type::i64, Kind::gauge, Unit::truth, "outcome_code is 0"};
constexpr Metric outcome_code{"outcome_code",
                              Type::i64,
                              Kind::gauge,
                              Unit::none,
                              "0 ok, 1 silent, 2 closed, 3 unreachable, 4 under_load, "
                              "5 psk_mismatch, 6 invalid, 7 tunnel_dead, 8 name_error",
                              {"gauge", "outcome"}};
constexpr Metric handshake_rtt{"handshake_rtt_ms",
                               Type::f64,
                               Kind::gauge,
                               Unit::milliseconds,
                               "From the initiation that was answered to its authentic response",
                               {"ping", ""}};
constexpr Metric resolve{"resolve_ms", Type::f64, Kind::gauge, Unit::milliseconds,
                         "Look-up of the server's name"};
constexpr Metric cookie{"cookie", Type::i64, Kind::gauge, Unit::truth,
                        "The server is loaded: it asked for its cookie first"};
constexpr Metric tunnel_sent{"tunnel_sent", Type::i64, Kind::gauge, Unit::packets,
                             "Echo requests sent inside the tunnel"};
constexpr Metric tunnel_received{"tunnel_received", Type::i64, Kind::gauge, Unit::packets,
                                 "Echo replies that came out of it"};
constexpr Metric tunnel_rtt{"tunnel_rtt_ms", Type::f64, Kind::gauge, Unit::milliseconds,
                            "Their mean round trip"};
constexpr Metric tunnel_loss{"tunnel_loss_percent", Type::f64, Kind::gauge, Unit::percent,
                             "Share of the echo requests without a reply"};
constexpr Metric tunnel_port_open{"tunnel_port_open", Type::i64, Kind::gauge, Unit::truth,
                                  "The TCP port inside the tunnel takes connections"};
constexpr Metric outcome_word{"outcome", Type::text, Kind::gauge, Unit::none,
                              "The same as outcome_code, as a word"};
constexpr Metric advice{"advice", Type::text, Kind::gauge, Unit::none,
                        "What the outcome usually means, and what to check next"};
constexpr Metric answered_from{"answered_from", Type::text, Kind::gauge, Unit::none,
                               "Where it is another address than the one asked"};
constexpr const Metric* numbers[] = {&ok,          &outcome_code,    &handshake_rtt,   &resolve,
                                     &cookie,      &tunnel_sent,     &tunnel_received, &tunnel_rtt,
                                     &tunnel_loss, &tunnel_port_open};
constexpr const Metric* texts[] = {&outcome_word, &advice, &answered_from};
constexpr Family numbers_family{
    "wireguard_probe", "Handshakes with WireGuard servers", numbers, labels, places, true};
constexpr Family texts_family{
    "wireguard_probe", "Handshakes: verdicts in words", texts, labels, {}, true};
constexpr const Family* families[] = {&numbers_family, &texts_family};

constexpr Option probe_name{"name", Takes::text, "",
                            "What it is called; empty: its server. collectd: <Probe \"name\">"};
constexpr Option server{
    "server", Takes::text, "", "WireGuard server: host:port, [IPv6 address]:port",
    0,        0,           "", "endpoint"};
constexpr Option server_key{
    "server_key", Takes::text, "", "Its public key", 0, 0, "", "public_key server_public_key"};
constexpr Option key_file{"key_file",
                          Takes::text,
                          "",
                          "File with the private key of this probe alone: with a client's, it "
                          "would take that client's session away. 'wgvitals probe setup' makes "
                          "one. Read once, as psk_file: restart after a change",
                          0,
                          0,
                          "",
                          "private_key_file"};
constexpr Option psk_file{"psk_file", Takes::text, "", "File with the preshared key; empty: none",
                          0,          0,           "", "preshared_key_file"};
constexpr Option timeout{
    "timeout", Takes::duration,
    "2s",      "Longest time for the answer to an initiation, or to a packet inside",
    100,       60'000};
constexpr Option retries{"retries", Takes::whole, "2", "Further initiations, a timeout apart", 0,
                         10};
constexpr Option tunnel_address{"tunnel_address", Takes::text, "",
                                "Address behind the server to ping through the tunnel; empty: the "
                                "handshake alone is probed"};
constexpr Option tunnel_source{"tunnel_source", Takes::text, "",
                               "The probe's own address there: the server's allowed IPs for its "
                               "key"};
constexpr Option tunnel_count{
    "tunnel_count", Takes::whole, "3", "Pings through the tunnel", 1, 100};
constexpr Option tunnel_port{
    "tunnel_port", Takes::whole, "0", "TCP port of tunnel_address to connect to, too; 0: none", 0,
    65'535};
constexpr const Option* block_options[] = {
    &probe_name,   &server,       &server_key,     &key_file,      &psk_file,      &probe_interval,
    &timeout,      &retries,      &tunnel_address, &tunnel_source, &tunnel_count,  &tunnel_port,
    &probe_source, &probe_device, &probe_mark,     &probe_family,  &probe_slowest, &probe_labels};
constexpr BlockKind probe_block{"probe", "A WireGuard server to shake hands with", block_options};
constexpr const BlockKind* blocks[] = {&probe_block};

// 2. From values to values, from values to records.

double to_ms(std::chrono::nanoseconds time) { return static_cast<double>(time.count()) / 1e6; }

Readings<std::size(numbers)> to_readings(const HandshakeOutcome& outcome) {
  Readings<std::size(numbers)> readings;
  readings.add(ok, outcome.kind == HandshakeOutcome::Kind::ok);
  readings.add(outcome_code, static_cast<unsigned>(outcome.kind));
  if (outcome.rtt) readings.add(handshake_rtt, to_ms(*outcome.rtt));
  if (outcome.resolve) readings.add(resolve, to_ms(*outcome.resolve));
  if (outcome.initiations > 0) readings.add(cookie, outcome.cookie);
  if (const auto sent = outcome.tunnel_sent; sent > 0) {
    readings.add(tunnel_sent, sent);
    readings.add(tunnel_received, outcome.tunnel_received);
    if (outcome.tunnel_rtt) readings.add(tunnel_rtt, to_ms(*outcome.tunnel_rtt));
    const auto lost = sent - std::min(sent, outcome.tunnel_received);
    readings.add(tunnel_loss, 100.0 * lost / sent);
  }
  readings.add(tunnel_port_open, outcome.tunnel_port_open);
  return readings;
}

// 3. From the configuration.

// Empty where the option is; family none and a mistake where it is no address.
std::optional<Endpoint> read_address(const Settings& block, const Option& option,
                                     Mistakes& mistakes) {
  const auto& text = block.text(option);
  if (text.empty()) return std::nullopt;
  const auto address = parse_address(text);
  if (!address) {
    mistakes.add(block, std::string(option.name.view()) + ": '" + text + "' is no address");
  }
  return address.value_or(Endpoint());
}

// false where the block has a mistake.
bool set_tunnel(const Settings& block, HandshakeTarget& target, Mistakes& mistakes) {
  const auto to = read_address(block, tunnel_address, mistakes);
  const auto from = read_address(block, tunnel_source, mistakes);
  const auto refuse = [&](const char* why) {
    mistakes.add(block, why);
    return false;
  };
  const bool has_port = block.whole(tunnel_port) != 0;
  if (!to && (from || has_port)) {
    return refuse("tunnel_source and tunnel_port are of no use without tunnel_address");
  }
  if (!to) return true;
  if (!from) {
    return refuse(
        "tunnel_address without tunnel_source: give the address that the server's allowed IPs "
        "have for the probe's key");
  }
  if (to->family == AddressFamily::none || from->family == AddressFamily::none) return false;
  if (to->family != from->family) {
    return refuse("tunnel_address and tunnel_source are of different address families");
  }
  target.tunnel_address = *to;
  target.tunnel_source = *from;
  target.tunnel_count = static_cast<unsigned>(block.whole(tunnel_count));
  target.tunnel_port = static_cast<std::uint16_t>(block.whole(tunnel_port));
  return true;
}

// Empty where the block has a mistake.
std::optional<HandshakeTarget> to_target(const Settings& block, Mistakes& mistakes) {
  const auto refuse = [&](const std::string& why) {
    mistakes.add(block, why);
    return std::nullopt;
  };
  HandshakeTarget target;
  const auto& called = block.title().empty() ? block.text(probe_name) : block.title();
  target.name = called.empty() ? block.text(server) : called;
  const auto place = parse_host_port(block.text(server));
  if (!place || place->host.empty()) {
    return refuse("server: '" + block.text(server) + "' is no host:port");
  }
  target.host = place->host;
  target.port = place->port;
  const auto key = key_from_base64(block.text(server_key));
  if (!key) return refuse("probe '" + target.name + "': server_key is no public key");
  target.server = *key;
  if (block.text(key_file).empty()) {
    return refuse("probe '" + target.name +
                  "': no key_file: 'wgvitals probe setup' makes a key of its own");
  }
  target.read_key = probe::make_key_reader(block.text(key_file));
  target.read_psk = probe::make_key_reader(block.text(psk_file));
  if (!set_path(block, target.path, mistakes)) return std::nullopt;
  if (!set_tunnel(block, target, mistakes)) return std::nullopt;
  target.family = to_family(block, target.path.source);
  target.pace = to_pace(block);
  target.timeout = block.duration(timeout);
  target.retries = static_cast<unsigned>(block.whole(retries));
  return target;
}

// 4. The collector.

// Whether the collector of devices reads all of our own namespace, none passed over.
bool reads_all_devices(const Settings& settings) {
  return settings.truth(wireguard.enabled) &&
         std::ranges::all_of(wireguard.options, [&](const Option* option) {
           return option->takes != Takes::patterns || settings.texts(*option).empty();
         });
}

struct Shown {
  std::string name, server;
  PublicKey server_key;
  std::uint32_t labels = 0;  // a set of the collector's
  std::string refused;       // why it is not probed
  bool checked = false;      // its key was held against all local devices
};

class HandshakeCollector final : public Collector {
 public:
  HandshakeCollector(const Services& services, const Settings& settings)
      : sees_devices_(reads_all_devices(settings)),
        probes_(services.loop, services.resolver, to_targets(settings),
                std::uniform_real_distribution<double>()(random_)),
        outcomes_(shown_.size()) {}

  void read(Devices& devices, Report& report) override {
    mistakes_.report(report);
    if (shown_.empty()) return;
    if (const auto loaded = probes_.load(); !loaded) {
      report.failed(loaded.error());
      return;
    }
    hold_keys_against(devices, report);
    probes_.begin();
    probes_.take(outcomes_);
    for (const auto& error : probes_.wrong()) report.failed(error);
  }

  void emit(const Now&, const Devices&, const Peers&, Sink& sink) const override {
    for (std::size_t i = 0; i < shown_.size(); ++i) {
      if (outcomes_[i]) emit(shown_[i], *outcomes_[i], sink);
    }
  }

  void told() override {
    std::fill(outcomes_.begin(), outcomes_.end(), std::nullopt);
    const auto now = probe::Clock::now();
    if (told_) probes_.set_gather(now - *told_);
    told_ = now;
  }

  std::string unsettled() override {
    probes_.take(outcomes_);
    std::size_t open = 0;
    for (std::size_t i = 0; i < shown_.size(); ++i) {
      const bool probed = probes_.own_key(i).has_value() && shown_[i].refused.empty();
      open += probed && !outcomes_[i] ? 1u : 0u;
    }
    if (open == 0) return {};
    return std::to_string(open) + " of " + std::to_string(shown_.size()) + " servers";
  }

 private:
  std::vector<HandshakeTarget> to_targets(const Settings& settings) {
    std::vector<HandshakeTarget> targets;
    PeerNames sets;
    for (const auto* block : settings.blocks(probe_block)) {
      auto target = to_target(*block, mistakes_);
      if (!target) continue;
      const bool known = std::ranges::any_of(
          shown_, [&](const Shown& other) { return other.name == target->name; });
      if (known) {
        mistakes_.add(*block,
                      "probe '" + target->name + "' is there already; the second is passed over");
        continue;
      }
      const auto set = static_cast<std::uint32_t>(sets.size());
      sets[std::to_string(set)].labels = to_labels(*block, mistakes_);
      shown_.push_back({target->name, block->text(server), target->server, set, {}, false});
      targets.push_back(std::move(*target));
    }
    sets_ = LabelSets(sets);
    for (auto& one : shown_) one.labels = sets_.find(std::to_string(one.labels));
    return targets;
  }

  // With the key of a device, a probe would take that device's session at the server.
  void hold_keys_against(const Devices& devices, Report& report) {
    const bool whole = sees_devices_ && !devices.incomplete && devices.unread.empty();
    bool all_checked = true;
    for (std::size_t i = 0; i < shown_.size(); ++i) {
      const auto own = probes_.own_key(i);
      if (!own) continue;
      auto& one = shown_[i];
      auto why = probe::refuse_key(*own, one.server_key, devices);
      if (!why.empty()) why.insert(0, "probe '" + one.name + "': ");
      one.checked = one.checked || whole;
      all_checked = all_checked && one.checked;
      // What could not be read now may still be the owner.
      if (why == one.refused || (why.empty() && !whole)) continue;
      one.refused = why;
      probes_.refuse(
          i, why.empty() ? std::nullopt : std::optional(Error{Errc::malformed, 0, std::move(why)}));
    }
    if (all_checked) return;
    report.noted({Errc::denied, 0,
                  "the probes' keys were not held against those of this host's own WireGuard "
                  "devices, which were not all read: that needs CAP_NET_ADMIN for the kernel's, "
                  "root for userspace, and the collector wireguard without a choice of devices"});
  }

  void emit(const Shown& shown, const HandshakeOutcome& outcome, Sink& sink) const {
    InlineList<Label, std::size(labels) + most_peer_labels> all;
    all.add(&probe_label, shown.name);
    all.add(&server_label, shown.server);
    for (const auto& label : sets_.labels(shown.labels)) all.add(label);
    sink.take(Record{numbers_family, all, to_readings(outcome)});
    Readings<std::size(texts)> words;
    words.add(outcome_word, probe::to_word(outcome.kind));
    if (!outcome.advice.empty()) words.add(advice, std::string_view(outcome.advice));
    char address[longest_endpoint];
    if (outcome.answered_from) words.add(answered_from, to_text(*outcome.answered_from, address));
    sink.take(Record{texts_family, all, words});
  }

  std::random_device random_;
  Mistakes mistakes_;
  const bool sees_devices_;
  std::vector<Shown> shown_;  // by target
  LabelSets sets_;            // of the blocks
  probe::HandshakeProbes probes_;
  probe::HandshakeProbes::Outcomes outcomes_;
  std::optional<probe::Clock::time_point> told_;
};

}  // namespace

extern const Entry handshake;
const Entry handshake{
    {"handshake", Takes::truth, "true", "Handshakes with WireGuard servers (probe blocks)", 0, 0,
     "", "handshake_enabled"},
    families,
    {},
    [](const Services& services, const Settings& settings) -> std::unique_ptr<Collector> {
      if (settings.blocks(probe_block).empty()) return nullptr;
      return std::make_unique<HandshakeCollector>(services, settings);
    },
    blocks};

}  // namespace wgvitals::collect
