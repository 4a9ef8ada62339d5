// TCP services: can they be connected to, and do they say what is expected. As Telegraf's
// inputs.net_response.

#include "common/probe/tcp.h"

#include <array>
#include <tuple>
#include <utility>

#include "common/collect/services.h"
#include "common/model/label_names.h"

namespace wgvitals::collect {
namespace {

using config::BlockKind;
using config::Option;
using config::Settings;
using config::Takes;
using probe::TcpOutcome;
using probe::TcpTarget;

// 1. What is said. Names and types are Telegraf's.

constexpr LabelName server_label{"server"};
constexpr LabelName port_label{"port"};
constexpr LabelName protocol_label{"protocol"};
constexpr LabelName result_label{"result", "", false};
constexpr const LabelName* labels[] = {&server_label, &port_label, &protocol_label, &device_label,
                                       &result_label};
constexpr Place places[] = {{"wireguard", &device_label}, {"wireguard"}};

constexpr Metric response_time{"response_time",
                               Type::f64,
                               Kind::gauge,
                               Unit::seconds,
                               "Until the connection stood or, where something is sent or "
                               "expected, until that was done; the name's look-up is no part",
                               {},
                               {},
                               true};
constexpr Metric result_code{"result_code",
                             Type::u64,
                             Kind::gauge,
                             Unit::none,
                             "0 success, 1 timeout, 2 connection_failed, 3 read_failed, "
                             "4 string_mismatch",
                             {},
                             {},
                             true};
constexpr Metric result_type{"result_type",         Type::text, Kind::gauge, Unit::none,
                             "The same, as a word", {},         {},          true};
constexpr Metric string_found{"string_found",
                              Type::boolean,
                              Kind::gauge,
                              Unit::truth,
                              "What is expected was said",
                              {},
                              {},
                              true};
constexpr const Metric* metrics[] = {&response_time, &result_code, &result_type, &string_found};
constexpr Family family{"net_response", "TCP services", metrics, labels, places};
constexpr const Family* families[] = {&family};

constexpr Option address{"address",
                         Takes::texts,
                         "",
                         "Services to connect to: host:port, [IPv6 address]:port; without a host "
                         "localhost",
                         0,
                         0,
                         "",
                         "addresses"};
constexpr Option protocol{"protocol", Takes::choice, "tcp", "Always tcp", 0, 0, "tcp"};
constexpr Option timeout{"timeout", Takes::duration, "1s", "Longest time for name and connection",
                         10,        60'000};
constexpr Option read_timeout{
    "read_timeout", Takes::duration, "1s", "Longest time for the line that is expected", 10,
    60'000};
constexpr Option send{"send", Takes::text, "", "What is said first; empty: nothing"};
constexpr Option expect{"expect", Takes::text, "",
                        "POSIX extended regular expression that the first line of the answer "
                        "matches somewhere; empty: no answer is waited for"};
constexpr const Option* block_options[] = {
    &address, &protocol,     &probe_interval, &timeout,    &read_timeout, &send,
    &expect,  &probe_source, &probe_device,   &probe_mark, &probe_family, &probe_slowest};
constexpr BlockKind tcp_block{"tcp", "TCP services to probe, with what they share", block_options};
constexpr const BlockKind* blocks[] = {&tcp_block};

// 2. From values to values, from values to records.

constexpr std::array<std::string_view, 5> words = {"success", "timeout", "connection_failed",
                                                   "read_failed", "string_mismatch"};

struct Shown {
  std::string server, port, device;
  std::string text;  // both, as configured
  bool expects = false;
  const std::string& written() const { return text; }
  bool operator<(const Shown& other) const {
    return std::tie(server, port, device) < std::tie(other.server, other.port, other.device);
  }
};

void emit_outcome(const Shown& shown, const TcpOutcome& outcome, Sink& sink) {
  const auto code = static_cast<std::size_t>(outcome.kind);
  const Label label_values[] = {{&server_label, shown.server},
                                {&port_label, shown.port},
                                {&protocol_label, "tcp"},
                                {&device_label, shown.device},
                                {&result_label, words[code]}};
  Readings<std::size(metrics)> readings;
  if (outcome.took) {
    readings.add(response_time, std::chrono::duration<double>(*outcome.took).count());
  }
  readings.add(result_code, code);
  readings.add(result_type, words[code]);
  if (shown.expects) readings.add(string_found, outcome.kind == TcpOutcome::Kind::success);
  sink.take(Record{family, label_values, readings});
}

// 3. The collector.

struct TcpService {
  using Probes = probe::TcpProbes;
  using Target = TcpTarget;
  using Shown = collect::Shown;
  static constexpr const BlockKind& kind = tcp_block;
  static constexpr const Option& places = address;

  // What the targets of a block share.
  static std::optional<Target> to_target(const Settings& block, Mistakes& mistakes) {
    Target target;
    if (!set_path(block, target.path, mistakes)) return std::nullopt;
    target.family = to_family(block, target.path.source);
    target.pace = to_pace(block);
    target.timeout = block.duration(timeout);
    target.read_timeout = block.duration(read_timeout);
    target.send = block.text(send);
    if (!block.text(expect).empty()) {
      target.expect = to_pattern(block, expect, mistakes);
      if (!target.expect) return std::nullopt;
    }
    return target;
  }

  static Result<Shown> aim(const std::string& text, Target& target) {
    const auto service = parse_host_port(text);
    if (!service) return Error{Errc::malformed, 0, "\"" + text + "\" is no host:port"};
    target.host = service->host.empty() ? "localhost" : service->host;
    target.port = service->port;
    return Shown{target.host, std::to_string(target.port), target.path.device, text,
                 target.expect.has_value()};
  }

  static constexpr auto emit = emit_outcome;
};

}  // namespace

extern const Entry tcp;
const Entry tcp{{"tcp", Takes::truth, "true", "TCP services (tcp blocks)", 0, 0, "", "tcp_enabled"},
                families,
                {},
                make_service_collector<TcpService>,
                blocks};

}  // namespace wgvitals::collect
