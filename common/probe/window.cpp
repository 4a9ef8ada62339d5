#include "common/probe/window.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <span>

namespace wgvitals::probe {
namespace {

double to_ms(std::int64_t nanoseconds) { return static_cast<double>(nanoseconds) / 1e6; }

// R7 of sorted values: between the two that are nearest.
double percentile(std::span<const double> sorted, double share) {
  const double rank = share * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(rank);
  const auto above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (rank - std::floor(rank)) * (sorted[above] - sorted[below]);
}

PingSummary::Times to_times(std::span<double> values) {
  std::sort(values.begin(), values.end());
  const auto count = static_cast<double>(values.size());
  double sum = 0;
  for (const double value : values) sum += value;
  PingSummary::Times times;
  times.minimum = values.front();
  times.maximum = values.back();
  // A rounded mean of equal values would leave their range.
  times.average = std::clamp(sum / count, times.minimum, times.maximum);
  double squares = 0;
  for (const double value : values) squares += (value - times.average) * (value - times.average);
  times.deviation = std::sqrt(squares / count);
  times.percentile50 = percentile(values, 0.50);
  times.percentile95 = percentile(values, 0.95);
  times.percentile99 = percentile(values, 0.99);
  return times;
}

}  // namespace

// They are settled in another order than they are sent: lost ones later, answers as they come.
void PingWindow::insert(const Probe& probe) {
  auto place = probes_.end();
  while (place != probes_.begin() && std::prev(place)->sent_ns > probe.sent_ns) --place;
  probes_.insert(place, probe);
  ++settled_;
}

// The oldest; what comes after them begins where they ended.
void PingWindow::forget(std::size_t count) {
  if (count == 0) return;
  const auto end = probes_.begin() + static_cast<std::ptrdiff_t>(count);
  for (auto probe = probes_.begin(); probe != end; ++probe) {
    if (probe->rtt_ns >= 0) {
      outage_from_ns_.reset();
    } else if (!outage_from_ns_) {
      outage_from_ns_ = probe->sent_ns;
    }
  }
  before_ = *std::prev(end);
  probes_.erase(probes_.begin(), end);
}

void PingWindow::forget_half() { forget(probes_.size() / 2); }

void PingWindow::add(const PingOutcome& outcome) {
  using Kind = PingOutcome::Kind;
  switch (outcome.kind) {
    case Kind::answered:
      insert({outcome.sent_ns, std::max<std::int64_t>(0, outcome.rtt_ns), outcome.number});
      rtt_sum_ms_ += to_ms(outcome.rtt_ns);
      ++answered_;
      if (!ttl_ && outcome.ttl != 0) ttl_ = outcome.ttl;
      missed_ = 0;
      break;
    case Kind::lost:
      insert({outcome.sent_ns, -1, outcome.number});
      if (outcome.error != 0) error_ = outcome.error;
      ++missed_;
      break;
    case Kind::unsent:
      ++unsent_;
      error_ = outcome.error;
      break;
    case Kind::late:
      ++late_;
      break;
    case Kind::duplicate:
      ++duplicates_;
      break;
    case Kind::reordered:
      ++reordered_;
      break;
  }
}

double PingWindow::mean_rtt_ms() const {
  if (settled_ == 0) return last_mean_ms_;
  return answered_ > 0 ? rtt_sum_ms_ / static_cast<double>(answered_) : 0;
}

PingSummary PingWindow::summarise(std::chrono::nanoseconds interval,
                                  std::vector<double>& scratch) const {
  PingSummary summary;
  summary.transmitted = settled_;
  summary.received = answered_;
  summary.ttl = ttl_;
  summary.unsent = unsent_;
  summary.late = late_;
  summary.duplicates = duplicates_;
  summary.reordered = reordered_;
  if (settled_ == 0) return summary;
  summary.loss_percent =
      100.0 * static_cast<double>(settled_ - answered_) / static_cast<double>(settled_);

  scratch.clear();
  double differences = 0;
  std::size_t pairs = 0;
  std::int64_t longest = 0;
  bool out = outage_from_ns_.has_value();
  std::int64_t outage_from = outage_from_ns_.value_or(0);
  const Probe* before = before_ ? &*before_ : nullptr;
  for (const auto& probe : probes_) {
    const bool answered = probe.rtt_ns >= 0;
    if (answered) {
      scratch.push_back(to_ms(probe.rtt_ns));
      if (before != nullptr && before->rtt_ns >= 0 && probe.number == before->number + 1) {
        differences += std::abs(to_ms(probe.rtt_ns - before->rtt_ns));
        ++pairs;
      }
    } else if (!out) {
      out = true;
      outage_from = probe.sent_ns;
    }
    if (out) {
      longest = std::max(longest, probe.sent_ns - outage_from + (answered ? 0 : interval.count()));
    }
    if (answered) out = false;
    before = &probe;
  }
  summary.outage = to_ms(longest);
  if (!scratch.empty()) summary.times = to_times(scratch);
  if (pairs > 0) summary.jitter = differences / static_cast<double>(pairs);
  return summary;
}

void PingWindow::close() {
  last_mean_ms_ = mean_rtt_ms();
  rtt_sum_ms_ = 0;
  settled_ = answered_ = 0;
  forget(probes_.size());
  ttl_.reset();
  unsent_ = late_ = duplicates_ = reordered_ = 0;
  error_ = 0;
}

}  // namespace wgvitals::probe
