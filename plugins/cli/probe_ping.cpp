// wgvitals probe ping: many hosts at once, in fping's manner.

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <system_error>
#include <thread>

#include "common/base/text.h"
#include "common/probe/pinger.h"
#include "common/probe/resolver.h"
#include "common/probe/window.h"
#include "plugins/cli/commands.h"
#include "plugins/cli/histogram.h"
#include "plugins/cli/table.h"

namespace wgvitals::cli {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;
using probe::PingOutcome;

constexpr config::Option interval_option{"interval", config::Takes::duration, "1s", "", 1,
                                         3'600'000};
constexpr config::Option timeout_option{"timeout", config::Takes::duration, "1s", "", 1, 60'000};

struct Asked {
  std::vector<std::string> hosts;
  std::uint16_t count = 5;
  std::uint16_t size = 56;
  std::string interval{interval_option.fallback};
  std::optional<std::string> timeout;
  std::string source;
  probe::PingPath path;
  bool ipv4 = false, ipv6 = false, json = false, quiet = false;
};

struct Host {
  std::string name;
  Endpoint address;
  std::string failure;  // why it is not pinged
  std::optional<probe::PingId> id;
  probe::PingWindow window;
  std::vector<double> round_trips;  // ms, in the order of the answers
};

std::string said(int number) { return std::generic_category().message(number); }

std::chrono::milliseconds to_time(const config::Option& option, const std::string& text) {
  if (const auto time = config::to_duration(option, text)) return *time;
  throw CLI::ValidationError(
      fmt::format("--{}", option.name.view()),
      fmt::format("expected {}, found '{}'", config::expectation(option), text));
}

probe::PingTarget to_target(const Asked& asked) {
  probe::PingTarget target;
  target.interval = to_time(interval_option, asked.interval);
  // As many as may be on their way at a time.
  const auto longest = target.interval * probe::most_outstanding;
  target.timeout = asked.timeout ? to_time(timeout_option, *asked.timeout)
                                 : std::min<std::chrono::milliseconds>(1s, longest);
  if (target.timeout > longest) {
    throw CLI::ValidationError("--timeout", fmt::format("at most {} intervals, {} ms",
                                                        probe::most_outstanding, longest.count()));
  }
  target.count = asked.count;
  target.size = asked.size;
  target.slowest = 1;
  target.path = asked.path;
  if (asked.source.empty()) return target;
  const auto source = parse_address(asked.source);
  if (!source) throw CLI::ValidationError("--source", "'" + asked.source + "' is no address");
  target.path.source = *source;
  return target;
}

// Waits for all names together.
void resolve(std::vector<Host>& hosts, AddressFamily family) {
  using State = probe::Resolver::Answer::State;
  probe::Resolver resolver(start_plain_thread);
  bool pending = true;
  while (pending) {
    pending = false;
    for (auto& host : hosts) {
      const auto answer = resolver.find(host.name, family);
      pending = pending || answer.state == State::pending;
      host.address = answer.address;
      host.failure = answer.state == State::failed ? answer.why : "";
    }
    if (pending) std::this_thread::sleep_for(5ms);
  }
  resolver.stop();
}

void print_outcome(const Host& host, const PingOutcome& outcome) {
  const auto start = fmt::format("{} : [{}], ", text::to_printable(host.name), outcome.number);
  const auto rtt = static_cast<double>(outcome.rtt_ns) / 1e6;
  switch (outcome.kind) {
    case PingOutcome::Kind::answered:
      fmt::print("{}{} ms, ttl {}\n", start, to_human_ms(rtt), outcome.ttl);
      break;
    case PingOutcome::Kind::lost:
      fmt::print("{}{}\n", start, outcome.error != 0 ? said(outcome.error) : "timed out");
      break;
    case PingOutcome::Kind::unsent:
      fmt::print("{}not sent: {}\n", start, said(outcome.error));
      break;
    case PingOutcome::Kind::late:
      fmt::print("{}answered late\n", start);
      break;
    case PingOutcome::Kind::duplicate:
      fmt::print("{}duplicate answer\n", start);
      break;
    case PingOutcome::Kind::reordered:
      break;  // said by the summary
  }
}

class Pinging {
 public:
  Pinging(const Asked& asked, std::vector<Host>& hosts)
      : asked_(asked),
        hosts_(hosts),
        target_(to_target(asked)),
        pinger_(probe::make_pinger(start_plain_thread, {})) {}

  std::chrono::nanoseconds interval() const { return target_.interval; }

  void run() {
    for (auto& host : hosts_) add(host);
    // Unsent ones are settled, too: every probe is, within its timeout.
    const auto end = Clock::now() + target_.interval * (asked_.count + 1) + target_.timeout + 2s;
    while (take() && Clock::now() < end) std::this_thread::sleep_for(5ms);
    pinger_->stop();
  }

 private:
  void add(Host& host) {
    if (!host.failure.empty()) return;
    auto target = target_;
    target.address = host.address;
    target.path.family = host.address.family;
    const auto id = pinger_->add(probe::PingOwner::ping, target);
    if (!id) {
      host.failure = to_text(id.error());
      return;
    }
    host.id = *id;
    if (by_id_.size() <= *id) by_id_.resize(*id + 1);
    by_id_[*id] = &host;
  }

  // False once every probe of every host is settled.
  bool take() {
    (void)pinger_->take(probe::PingOwner::ping, outcomes_);
    for (const auto& outcome : outcomes_) {
      auto& host = *by_id_[outcome.id];
      host.window.add(outcome);
      if (outcome.kind == PingOutcome::Kind::answered) {
        host.round_trips.push_back(static_cast<double>(outcome.rtt_ns) / 1e6);
      }
      if (!asked_.json && !asked_.quiet) print_outcome(host, outcome);
    }
    for (const auto& failure : pinger_->failures(probe::PingOwner::ping)) warn(to_text(failure));
    if (!outcomes_.empty()) (void)std::fflush(stdout);
    return std::any_of(hosts_.begin(), hosts_.end(), [&](const Host& host) {
      return host.id && host.window.tried() < asked_.count;
    });
  }

  // A failure is there as long as it holds.
  void warn(const std::string& text) {
    if (warned_.insert(text).second) TerminalLog().warning(text);
  }

  const Asked& asked_;
  std::vector<Host>& hosts_;
  probe::PingTarget target_;
  std::unique_ptr<probe::Pinger> pinger_;
  std::vector<Host*> by_id_;
  std::vector<PingOutcome> outcomes_;
  std::set<std::string> warned_;
};

// fping's line, and behind it what fping does not tell.
std::string to_line(const Host& host, std::size_t width, const probe::PingSummary& summary) {
  auto line = fmt::format("{:<{}} : ", text::to_printable(host.name), width);
  if (!host.failure.empty()) return line + host.failure + '\n';
  line += fmt::format("xmt/rcv/%loss = {}/{}/{}", summary.transmitted, summary.received,
                      summary.loss_percent ? fmt::format("{:.3g}%", *summary.loss_percent) : "-");
  if (const auto& times = summary.times) {
    line += fmt::format(", min/avg/max = {}/{}/{}, p50/p95/p99 = {}/{}/{}",
                        to_human_ms(times->minimum), to_human_ms(times->average),
                        to_human_ms(times->maximum), to_human_ms(times->percentile50),
                        to_human_ms(times->percentile95), to_human_ms(times->percentile99));
  }
  if (summary.jitter) line += ", jitter = " + to_human_ms(*summary.jitter) + " ms";
  const std::pair<std::uint64_t, const char*> counts[] = {{summary.unsent, "unsent"},
                                                          {summary.late, "late"},
                                                          {summary.duplicates, "duplicate"},
                                                          {summary.reordered, "reordered"}};
  for (const auto& [count, name] : counts) {
    if (count > 0) line += fmt::format(", {} {}", count, name);
  }
  if (summary.unsent > 0) line += " (" + said(host.window.last_error()) + ")";
  return line + '\n';
}

// The field names are those of the ping measurement.
nlohmann::ordered_json to_json(const Host& host, const probe::PingSummary& summary) {
  nlohmann::ordered_json object{{"url", text::to_printable(host.name)}};
  char address[longest_endpoint];
  if (host.address.family != AddressFamily::none) {
    object["resolved_address"] = to_address_text(host.address, address);
  }
  object["result_code"] = summary.received > 0 ? 0 : summary.transmitted > 0 ? 1 : 2;
  if (!host.failure.empty()) {
    object["error"] = text::to_printable(host.failure);
    return object;
  }
  object["packets_transmitted"] = summary.transmitted;
  object["packets_received"] = summary.received;
  if (summary.loss_percent) object["percent_packet_loss"] = *summary.loss_percent;
  if (summary.ttl) object["ttl"] = *summary.ttl;
  if (const auto& times = summary.times) {
    object["minimum_response_ms"] = times->minimum;
    object["average_response_ms"] = times->average;
    object["maximum_response_ms"] = times->maximum;
    object["standard_deviation_ms"] = times->deviation;
    object["percentile50_ms"] = times->percentile50;
    object["percentile95_ms"] = times->percentile95;
    object["percentile99_ms"] = times->percentile99;
  }
  if (summary.jitter) object["jitter_ms"] = *summary.jitter;
  if (summary.outage) object["outage_ms"] = *summary.outage;
  object["packets_unsent"] = summary.unsent;
  object["duplicates"] = summary.duplicates;
  object["reordered"] = summary.reordered;
  object["late"] = summary.late;
  object["round_trips_ms"] = host.round_trips;
  return object;
}

int run(const Asked& asked) {
  std::vector<Host> hosts;
  std::size_t width = 0;
  for (const auto& name : asked.hosts) {
    hosts.emplace_back().name = name;
    width = std::max(width, name.size());
  }
  Pinging pinging(asked, hosts);
  resolve(hosts, asked.ipv4   ? AddressFamily::ipv4
                 : asked.ipv6 ? AddressFamily::ipv6
                              : AddressFamily::none);
  pinging.run();

  std::vector<double> round_trips, scratch;
  bool all_answered = true;
  std::string text;
  for (const auto& host : hosts) {
    const auto summary = host.window.summarise(pinging.interval(), scratch);
    all_answered = all_answered && summary.received > 0;
    text += asked.json ? to_json(host, summary).dump() + '\n' : to_line(host, width, summary);
    round_trips.insert(round_trips.end(), host.round_trips.begin(), host.round_trips.end());
  }
  if (!asked.json) {
    if (!asked.quiet) text = '\n' + text;
    if (!round_trips.empty()) {
      text += "\nround trips of all answers\n" + to_histogram(round_trips, "ms");
    }
  }
  (void)std::fwrite(text.data(), 1, text.size(), stdout);
  return all_answered ? 0 : 1;
}

}  // namespace

Run add_probe_ping(CLI::App& app) {
  const auto asked = std::make_shared<Asked>();
  app.add_option("HOST", asked->hosts, "Names or addresses")->required();
  app.add_option("-c,--count", asked->count, "Probes to each host")
      ->check(CLI::Range(1, 65'535))
      ->capture_default_str();
  app.add_option("-i,--interval", asked->interval, "Time from probe to probe of a host")
      ->type_name("TIME")
      ->capture_default_str();
  app.add_option("-t,--timeout", asked->timeout,
                 "How long an answer may take; 1s, or 64 intervals where these are shorter")
      ->type_name("TIME");
  app.add_option("-b,--size", asked->size, "Bytes of ICMP payload")
      ->check(CLI::Range(probe::least_ping_size, std::uint16_t{65'000}))
      ->capture_default_str();
  auto* ipv4 = app.add_flag("-4", asked->ipv4, "IPv4 only");
  app.add_flag("-6", asked->ipv6, "IPv6 only")->excludes(ipv4);
  app.add_option("-I,--device", asked->path.device, "Network interface to send by");
  app.add_option("-S,--source", asked->source, "Own address to send from");
  app.add_option("-m,--mark", asked->path.mark, "Firewall mark of the probes");
  app.add_option("--ttl", asked->path.ttl, "TTL or hop limit of the probes");
  app.add_option("--tos", asked->path.tos, "Type of service or traffic class of the probes");
  app.add_flag("-M,--dont-fragment", asked->path.dont_fragment, "Forbid to fragment the probes");
  app.add_flag("-q,--quiet", asked->quiet, "The summary only");
  app.add_flag("--json", asked->json, "One JSON object a host, named as the ping measurement");
  return [asked] { return run(*asked); };
}

}  // namespace wgvitals::cli
