// The routers on the way to a few named hosts: address, loss and latency of each hop, in mtr's
// manner.

#include "common/probe/hops.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <utility>

#include "common/collect/collector.h"
#include "common/collect/probe_options.h"
#include "common/probe/schedule.h"

namespace wgvitals::collect {
namespace {

using config::BlockKind;
using config::Option;
using config::Settings;
using config::Takes;
using probe::HopsQuestion;
using probe::HopsResult;
using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

// 1. What is said.

constexpr LabelName url_label{"url"};
constexpr LabelName hop_label{"hop"};
constexpr const LabelName* labels[] = {&url_label, &hop_label};
constexpr Place places[] = {{"wireguard"}};

constexpr Metric transmitted{"packets_transmitted", Type::i64, Kind::gauge, Unit::packets,
                             "Probes of the last run whose TTL ended at this hop"};
constexpr Metric received{"packets_received", Type::i64, Kind::gauge, Unit::packets,
                          "Probes that the hop answered in time"};
constexpr Metric loss{"percent_packet_loss",
                      Type::f64,
                      Kind::gauge,
                      Unit::percent,
                      "Share that the hop did not answer: loss on the way only where all hops "
                      "behind it miss as much, for routers limit how often they answer",
                      {},
                      "wireguard_hop_packet_loss_ratio"};
constexpr Metric average{"average_response_ms", Type::f64, Kind::gauge, Unit::milliseconds,
                         "Mean round trip to the hop"};
constexpr Metric best{"best_response_ms", Type::f64, Kind::gauge, Unit::milliseconds,
                      "Shortest round trip to the hop"};
constexpr Metric worst{"worst_response_ms", Type::f64, Kind::gauge, Unit::milliseconds,
                       "Longest round trip to the hop"};
constexpr const Metric* number_metrics[] = {&transmitted, &received, &loss,
                                            &average,     &best,     &worst};
constexpr Family numbers{"wireguard_hop", "A hop on the way to a host", number_metrics, labels,
                         places};
constexpr Metric address{"address", Type::text, Kind::gauge, Unit::none,
                         "Who answered; of several the most frequent"};
constexpr const Metric* text_metrics[] = {&address};
constexpr Family texts{
    "wireguard_hop", "A hop on the way to a host: address", text_metrics, labels, {}};
constexpr const Family* families[] = {&numbers, &texts};

constexpr std::size_t most_targets = 32;

constexpr Option hops_host{"host",
                           Takes::texts,
                           "",
                           "Hosts whose way is looked at: names or addresses, at most 32 in all "
                           "blocks together",
                           0,
                           0,
                           "",
                           "hosts url urls"};
constexpr Option interval{"interval", Takes::duration, "60s", "Time from run to run of a host",
                          5'000,      86'400'000};
constexpr Option rounds{"rounds", Takes::whole, "10", "Probes of each hop in a run",
                        1,        100,          "",   "count"};
constexpr Option max_hops{"max_hops", Takes::whole,    "30", "Hops that are looked for",
                          1,          probe::most_hops};
constexpr Option timeout{
    "timeout", Takes::duration, "1s", "An answer that comes later does not count", 10, 10'000};
constexpr const Option* block_options[] = {&hops_host,    &interval,   &rounds,
                                           &max_hops,     &timeout,    &probe_source,
                                           &probe_device, &probe_mark, &probe_family};
constexpr BlockKind hops_block{"hops", "Hosts whose way is looked at, with what they share",
                               block_options};
constexpr const BlockKind* blocks[] = {&hops_block};

// 2. From values to values, from values to records.

// Routers limit their answers, so they are asked as rarely as the interval allows; but the first
// run is to be told soon.
constexpr milliseconds least_spacing(100);
constexpr milliseconds most_spacing(1000);

milliseconds to_spacing(milliseconds every, unsigned count) {
  return std::clamp(every / (count + 1), least_spacing, most_spacing);
}

double to_ms(std::chrono::nanoseconds time) { return static_cast<double>(time.count()) / 1e6; }

void emit_hop(const std::string& url, std::size_t number, const probe::Hop& hop, Sink& sink) {
  if (hop.sent == 0) return;
  char ttl[4];
  const auto* end = std::to_chars(std::begin(ttl), std::end(ttl), number).ptr;
  const Label whose[] = {{&url_label, url},
                         {&hop_label, std::string_view(ttl, static_cast<std::size_t>(end - ttl))}};
  Readings<std::size(number_metrics)> readings;
  readings.add(transmitted, hop.sent);
  readings.add(received, hop.received);
  readings.add(loss, 100.0 * (hop.sent - hop.received) / hop.sent);
  if (hop.received > 0) {
    readings.add(average, to_ms(hop.total) / hop.received);
    readings.add(best, to_ms(hop.best));
    readings.add(worst, to_ms(hop.worst));
  }
  sink.take(Record{numbers, whose, readings});
  if (hop.address.family == AddressFamily::none) return;
  char text[longest_endpoint];
  Readings<1> names;
  names.add(address, to_address_text(hop.address, text));
  sink.take(Record{texts, whose, names});
}

// 3. The collector.

struct Target {
  std::string url;
  AddressFamily family = AddressFamily::none;  // none: either
  HopsQuestion question;
  milliseconds interval;
  Clock::time_point due{};
  bool running = false;
  bool ran = false;                // at least once, or could not
  std::optional<HopsResult> last;  // of the last run
  std::string failure;             // why there is none
};

class HopsCollector final : public Collector {
 public:
  HopsCollector(const Services& services, const Settings& settings)
      : resolver_(services.resolver), loop_(services.loop), box_(std::make_shared<Box>()) {
    std::random_device random;
    seed_ = std::uniform_real_distribution<double>()(random);
    for (const auto* block : settings.blocks(hops_block)) add(*block);
  }

  void read(Devices&, Report& report) override {
    poll();
    mistakes_.report(report);
    for (const auto& target : targets_) {
      if (!target.failure.empty()) {
        report.failed({Errc::io, 0, target.failure});
      }
    }
  }

  void advance(const Now& now, const Devices&, Peers&, Events&) override {
    for (std::size_t i = 0; i < targets_.size(); ++i) {
      if (!targets_[i].running && targets_[i].due <= now.monotonic) begin(i, now.monotonic);
    }
  }

  void emit(const Now&, const Devices&, const Peers&, Sink& sink) const override {
    for (const auto& target : targets_) {
      if (!target.last) continue;
      const auto& hops = target.last->hops;
      if (hops.empty() && !target.last->error) {  // silence is told, too
        probe::Hop first;
        first.sent = target.question.rounds;
        emit_hop(target.url, 1, first, sink);
      }
      for (std::size_t i = 0; i < hops.size(); ++i) emit_hop(target.url, i + 1, hops[i], sink);
    }
  }

  std::string unsettled() override {
    poll();
    for (std::size_t i = 0; i < targets_.size(); ++i) {
      // Names that were not known yet.
      if (!targets_[i].ran && !targets_[i].running) begin(i, Clock::now());
    }
    const auto open = std::count_if(targets_.begin(), targets_.end(),
                                    [](const Target& target) { return !target.ran; });
    return open == 0 ? ""
                     : std::to_string(open) + " of " + std::to_string(targets_.size()) + " hosts";
  }

 private:
  // What the loop's thread puts down.
  struct Box {
    std::mutex mutex;
    std::vector<std::pair<std::size_t, HopsResult>> results;
  };

  void add(const Settings& block) {
    Target target;
    target.interval = block.duration(interval);
    target.question.rounds = static_cast<unsigned>(block.whole(rounds));
    target.question.max_hops = static_cast<unsigned>(block.whole(max_hops));
    target.question.timeout = block.duration(timeout);
    if (!set_path(block, target.question.path, mistakes_)) return;
    target.family = to_family(block, target.question.path.source);
    for (const auto& host : block.texts(hops_host)) {
      const bool known =
          std::ranges::any_of(targets_, [&](const Target& other) { return other.url == host; });
      if (known) {
        mistakes_.add(block, "host '" + host + "' is there already; the second is passed over");
        continue;
      }
      if (targets_.size() == most_targets) {
        mistakes_.add(block,
                      "'" + host + "': left out, as all behind it: at most " +
                          std::to_string(most_targets) +
                          " hosts, for their probes meet at the same routers, which limit how "
                          "often they answer");
        return;
      }
      target.url = host;
      targets_.push_back(target);
    }
  }

  void begin(std::size_t index, Clock::time_point now) {
    auto& target = targets_[index];
    const auto answer = resolver_.find(target.url, target.family);
    if (answer.address.family == AddressFamily::none) {
      if (answer.state != probe::Resolver::Answer::State::failed) return;  // not known yet
      target.failure = answer.why;
      target.last.reset();
      target.ran = true;
      return;
    }
    const bool first = !target.ran;
    target.question.path.to = answer.address;
    target.question.spacing =
        first ? least_spacing : to_spacing(target.interval, target.question.rounds);
    target.running = true;
    // The runs behind the first are spread, so that they do not meet.
    target.due = first ? now + std::chrono::duration_cast<Clock::duration>(
                                   target.interval *
                                   (0.5 + probe::to_phase(seed_, static_cast<unsigned>(index)) / 2))
                       : std::max(target.due + target.interval, now);
    probe::trace_hops(loop_, target.question, [box = box_, index](HopsResult result) {
      const std::lock_guard lock(box->mutex);
      box->results.emplace_back(index, std::move(result));
    });
  }

  void poll() {
    std::vector<std::pair<std::size_t, HopsResult>> results;
    {
      const std::lock_guard lock(box_->mutex);
      results.swap(box_->results);
    }
    for (auto& [index, result] : results) {
      auto& target = targets_[index];
      target.running = false;
      target.ran = true;
      // That a host does not answer is a reading; that nothing could be sent is a failure.
      target.failure.clear();
      if (result.hops.empty() && result.error) {
        target.failure = "'" + target.url + "': " + to_text(*result.error);
      }
      target.last = std::move(result);
    }
  }

  probe::Resolver& resolver_;
  probe::Loop& loop_;
  std::shared_ptr<Box> box_;
  double seed_;
  std::vector<Target> targets_;
  Mistakes mistakes_;
};

}  // namespace

extern const Entry hops;
const Entry hops{
    {"hops", Takes::truth, "true", "The routers on the way to hosts (hops blocks)", 0, 0, "",
     "hops_enabled"},
    families,
    {},
    [](const Services& services, const Settings& settings) -> std::unique_ptr<Collector> {
      if (settings.blocks(hops_block).empty()) return nullptr;
      return std::make_unique<HopsCollector>(services, settings);
    },
    blocks};

}  // namespace wgvitals::collect
