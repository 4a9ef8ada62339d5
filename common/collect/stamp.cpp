// STAMP (RFC 8762): loss, duplicates, delays and their variation, each way apart; and a reflector
// for others' packets.

#include <algorithm>
#include <memory>
#include <optional>
#include <random>
#include <utility>

#include "common/base/text.h"
#include "common/collect/collector.h"
#include "common/collect/names.h"
#include "common/collect/probe_options.h"
#include "common/probe/schedule.h"
#include "common/probe/stamp_reflector.h"
#include "common/probe/stamp_sender.h"

namespace wgvitals::collect {
namespace {

using config::BlockKind;
using config::Option;
using config::Settings;
using config::Takes;
using probe::StampReflector;
using probe::StampSender;
using probe::StampTarget;
using probe::StampWindow;

// 1. What is said.

constexpr LabelName server_label{"server"};
constexpr const LabelName* labels[] = {&server_label, &device_label};
constexpr Place places[] = {{"wireguard", &device_label}, {"wireguard"}};

constexpr Metric sent{"sent", Type::i64, Kind::gauge, Unit::packets,
                      "Packets answered or lost since the last gather"};
constexpr Metric received{"received", Type::i64, Kind::gauge, Unit::packets,
                          "Packets answered in time"};
constexpr Metric lost_forward{"lost_forward_percent", Type::f64, Kind::gauge, Unit::percent,
                              "Share of the packets that did not reach the reflector; absent "
                              "until an answer tells, and where the reflector does not count"};
constexpr Metric lost_backward{"lost_backward_percent", Type::f64, Kind::gauge, Unit::percent,
                               "Share of what reached the reflector whose answer did not come"};
constexpr Metric duplicates_forward{"duplicates_forward", Type::i64, Kind::gauge, Unit::packets,
                                    "Further copies of packets that reached the reflector"};
constexpr Metric duplicates_backward{"duplicates_backward", Type::i64, Kind::gauge, Unit::packets,
                                     "Further copies of answers"};
constexpr Metric rtt{"rtt_ms", Type::f64, Kind::gauge, Unit::milliseconds,
                     "Mean round trip without the reflector's own time"};
constexpr Metric ipdv_forward{"ipdv_forward_ms", Type::f64, Kind::gauge, Unit::milliseconds,
                              "Mean difference of the delays of successive packets, on their way "
                              "to the reflector"};
constexpr Metric ipdv_backward{"ipdv_backward_ms", Type::f64, Kind::gauge, Unit::milliseconds,
                               "Mean difference of the delays of successive answers"};
constexpr Metric delay_forward{"delay_forward_ms", Type::f64, Kind::gauge, Unit::milliseconds,
                               "Mean delay to the reflector; only while both clocks are known to "
                               "be synchronised, and as wrong as they are"};
constexpr Metric delay_backward{"delay_backward_ms", Type::f64, Kind::gauge, Unit::milliseconds,
                                "Mean delay of the answers; as delay_forward_ms"};
constexpr const Metric* metrics[] = {
    &sent, &received,     &lost_forward,  &lost_backward, &duplicates_forward, &duplicates_backward,
    &rtt,  &ipdv_forward, &ipdv_backward, &delay_forward, &delay_backward};
constexpr Family family{
    "wireguard_stamp", "STAMP: loss and delay of each direction", metrics, labels, places, true};
constexpr const Family* families[] = {&family};

constexpr Option stamp_server{"server",
                              Takes::texts,
                              "",
                              "Reflectors: names or addresses, with or without a port "
                              "(\"10.0.0.1\", \"[fd00::1]:862\")",
                              0,
                              0,
                              "",
                              "servers host hosts"};
constexpr Option stamp_port{"port",
                            Takes::whole,
                            "8620",
                            "UDP port where none is given. The RFC's is 862, which a reflector "
                            "may open only with CAP_NET_BIND_SERVICE",
                            1,
                            65'535};
constexpr Option interval{"interval", Takes::duration, "1s", "Time from packet to packet",
                          10,         3'600'000};
constexpr Option timeout{
    "timeout", Takes::duration, "900ms", "A packet without an answer by then is lost", 10, 10'000};
constexpr Option size{"size",
                      Takes::whole,
                      "44",
                      "Bytes of UDP payload, both ways; padded with zeros",
                      probe::stamp_size,
                      65'000};
constexpr const Option* sender_options[] = {
    &stamp_server, &stamp_port, &interval,     &timeout,       &size,        &probe_source,
    &probe_device, &probe_mark, &probe_family, &probe_slowest, &probe_labels};
constexpr BlockKind sender_block{"stamp", "Reflectors to send STAMP packets to", sender_options};

constexpr Option listen{
    "listen", Takes::texts,
    "",       "Own addresses to answer on, best the tunnel's; none is taken by itself",
    0,        0,
    "",       "address"};
constexpr Option listen_port{"port", Takes::whole,
                             "8620", "UDP port to answer on; below 1024 needs CAP_NET_BIND_SERVICE",
                             1,      65'535};
constexpr Option allow{"allow", Takes::texts, "",
                       "Who is answered: prefixes or addresses (\"10.0.0.0/24\", \"fd00::/64\"). "
                       "Empty: nobody"};
constexpr Option rate{"rate", Takes::whole, "1000", "Most answers a second, of each address",
                      1,      1'000'000};
constexpr const Option* reflector_options[] = {&listen, &listen_port, &allow, &rate, &probe_device};
constexpr BlockKind reflector_block{"stamp_reflector",
                                    "Answers STAMP and TWAMP light senders, while the host runs",
                                    reflector_options};
constexpr const BlockKind* blocks[] = {&sender_block, &reflector_block};

// 2. From values to values, from values to records.

struct Server {
  std::string host;
  std::uint16_t port = 0;
};

// "name", "name:862", "10.0.0.1:862", "fd00::1", "[fd00::1]", "[fd00::1]:862".
std::optional<Server> to_server(std::string_view text, std::uint16_t port) {
  const bool bare =
      text.starts_with('[') ? text.ends_with(']') : std::count(text.begin(), text.end(), ':') != 1;
  std::string_view host = text;
  if (!bare) {
    const auto colon = text.rfind(':');
    const auto number = text::to_number<std::uint16_t>(text.substr(colon + 1));
    if (!number || *number == 0) return std::nullopt;
    port = *number;
    host = text.substr(0, colon);
  }
  if (host.starts_with('[')) {
    if (!host.ends_with(']')) return std::nullopt;
    host = host.substr(1, host.size() - 2);
  }
  const bool ipv6 = host.find(':') != std::string_view::npos;
  if (host.empty() || (ipv6 && !parse_address(host))) return std::nullopt;
  return Server{std::string(host), port};
}

std::optional<Prefix> to_prefix(std::string_view text) {
  const auto slash = text.find('/');
  const auto address = parse_address(text.substr(0, slash));
  if (!address || address->scope != 0) return std::nullopt;
  const std::uint8_t whole = address->family == AddressFamily::ipv4 ? 32 : 128;
  const auto length = slash == std::string_view::npos
                          ? std::optional(whole)
                          : text::to_number<std::uint8_t>(text.substr(slash + 1));
  if (!length || *length > whole) return std::nullopt;
  return Prefix{address->address, address->family, *length};
}

bool is_wildcard(const Endpoint& address) {
  return std::ranges::all_of(address.address, [](std::uint8_t byte) { return byte == 0; });
}

Readings<std::size(metrics)> to_readings(const StampWindow& window) {
  Readings<std::size(metrics)> readings;
  readings.add(sent, window.sent);
  readings.add(received, window.received);
  readings.add(lost_forward, window.lost_forward_percent());
  readings.add(lost_backward, window.lost_backward_percent());
  if (window.directed > 0) {
    readings.add(duplicates_forward, window.duplicates_forward);
    readings.add(duplicates_backward, window.duplicates_backward);
  }
  readings.add(rtt, window.rtt.value());
  readings.add(ipdv_forward, window.ipdv_forward.value());
  readings.add(ipdv_backward, window.ipdv_backward.value());
  if (window.delays_hold()) {
    readings.add(delay_forward, window.delay_forward.value());
    readings.add(delay_backward, window.delay_backward.value());
  }
  return readings;
}

// 3. The collector.

struct Sender {
  std::string server;  // as configured
  std::string device;
  std::uint32_t labels = 0;  // a set of the collector's
  std::unique_ptr<StampSender> sender;
  StampWindow window;
};

struct Reflector {
  std::string address;
  std::unique_ptr<StampReflector> reflector;
};

class StampCollector final : public Collector {
 public:
  StampCollector(const Services& services, const Settings& settings)
      : services_(services), seed_(std::uniform_real_distribution<double>()(random_)) {
    PeerNames sets;
    for (const auto* block : settings.blocks(sender_block)) add_senders(*block, sets);
    sets_ = LabelSets(sets);
    for (auto& one : senders_) one.labels = sets_.find(std::to_string(one.labels));
    if (!services.resident) return;
    for (const auto* block : settings.blocks(reflector_block)) add_reflectors(*block);
  }

  void read(Devices&, Report& report) override {
    if (!std::exchange(started_, true)) {
      for (auto& one : senders_) one.sender->start();
      for (auto& one : reflectors_) one.reflector->start();
    }
    mistakes_.report(report);
    for (auto& one : senders_) {
      one.window.add(one.sender->take());
      fail(one.sender->failure(), one.server, report);
    }
    for (auto& one : reflectors_) fail(one.reflector->failure(), one.address, report);
  }

  void emit(const Now&, const Devices&, const Peers&, Sink& sink) const override {
    for (const auto& one : senders_) {
      if (one.window.sent == 0) continue;
      InlineList<Label, std::size(labels) + most_peer_labels> all;
      all.add(&server_label, one.server);
      all.add(&device_label, one.device);
      for (const auto& label : sets_.labels(one.labels)) all.add(label);
      sink.take(Record{family, all, to_readings(one.window)});
    }
  }

  void told() override {
    const auto now = probe::Clock::now();
    for (auto& one : senders_) {
      if (one.window.sent > 0) one.window = {};  // directions may come between two packets
      if (told_) one.sender->set_gather(now - *told_);
    }
    told_ = now;
  }

  std::string unsettled() override {
    const auto open =
        std::ranges::count_if(senders_, [](auto& one) { return !one.sender->settled(); });
    if (open == 0) return {};
    return std::to_string(open) + " of " + std::to_string(senders_.size()) + " servers";
  }

 private:
  static void fail(std::optional<Error> failure, const std::string& what, Report& report) {
    if (!failure) return;
    failure->where = what + ": " + failure->where;
    report.failed(*failure);
  }

  void add_senders(const Settings& block, PeerNames& sets) {
    StampTarget target;
    if (!set_path(block, target.path, mistakes_)) return;
    target.family = to_family(block, target.path.source);
    target.size = static_cast<std::size_t>(block.whole(size));
    target.interval = block.duration(interval);
    target.timeout = block.duration(timeout);
    target.slowest = static_cast<unsigned>(block.whole(probe_slowest));
    const auto set = static_cast<std::uint32_t>(sets.size());
    sets[std::to_string(set)].labels = to_labels(block, mistakes_);
    const auto port = static_cast<std::uint16_t>(block.whole(stamp_port));
    if (block.texts(stamp_server).empty()) mistakes_.add(block, "a stamp block without a server");
    for (const auto& text : block.texts(stamp_server)) add_sender(block, text, port, target, set);
  }

  void add_sender(const Settings& block, const std::string& text, std::uint16_t port,
                  StampTarget target, std::uint32_t set) {
    const auto server = to_server(text, port);
    if (!server) {
      mistakes_.add(block, "server: '" + text + "' is no name or address, with or without a port");
      return;
    }
    const bool known = std::ranges::any_of(senders_, [&](const Sender& other) {
      return other.server == text && other.device == target.path.device;
    });
    if (known) {
      mistakes_.add(block, "server '" + text + "' is there already; the second is passed over");
      return;
    }
    target.host = server->host;
    target.port = server->port;
    const auto phase = probe::to_phase(seed_, static_cast<std::uint32_t>(senders_.size()));
    auto device = target.path.device;
    senders_.push_back({text,
                        std::move(device),
                        set,
                        std::make_unique<StampSender>(services_.loop, services_.resolver,
                                                      std::move(target), phase),
                        {}});
  }

  void add_reflectors(const Settings& block) {
    StampReflector::Habits habits;
    habits.path.device = block.text(probe_device);
    habits.packets_a_second = static_cast<unsigned>(block.whole(rate));
    for (const auto& text : block.texts(allow)) {
      if (const auto prefix = to_prefix(text)) {
        habits.allowed.push_back(*prefix);
      } else {
        mistakes_.add(block, "allow: '" + text + "' is no prefix or address");
      }
    }
    if (habits.allowed.empty()) {
      mistakes_.add(block,
                    "a stamp_reflector without 'allow' answers nobody: name who may ask, such as "
                    "\"10.0.0.0/24\"");
      return;
    }
    if (block.texts(listen).empty()) {
      mistakes_.add(block,
                    "a stamp_reflector without 'listen': name the address to answer on, best the "
                    "tunnel's");
    }
    for (const auto& text : block.texts(listen)) {
      auto address = parse_address(text);
      if (!address || is_wildcard(*address)) {
        mistakes_.add(block, "listen: '" + text + "' is no single address of this host");
        continue;
      }
      address->port = static_cast<std::uint16_t>(block.whole(listen_port));
      habits.path.source = *address;
      reflectors_.push_back({text, std::make_unique<StampReflector>(services_.loop, habits)});
    }
  }

  const Services services_;
  std::random_device random_;
  double seed_;
  std::vector<Sender> senders_;
  std::vector<Reflector> reflectors_;
  LabelSets sets_;  // of the blocks
  Mistakes mistakes_;
  std::optional<probe::Clock::time_point> told_;
  bool started_ = false;
};

}  // namespace

extern const Entry stamp;
const Entry stamp{
    {"stamp", Takes::truth, "true",
     "Loss and delay of each direction (stamp blocks), and a reflector (stamp_reflector blocks)", 0,
     0, "", "stamp_enabled"},
    families,
    {},
    [](const Services& services, const Settings& settings) -> std::unique_ptr<Collector> {
      const bool idle =
          settings.blocks(sender_block).empty() && settings.blocks(reflector_block).empty();
      if (idle) return nullptr;
      return std::make_unique<StampCollector>(services, settings);
    },
    blocks};

}  // namespace wgvitals::collect
