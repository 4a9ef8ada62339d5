// What was settled of one target since the last gather, and what that comes to.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <vector>

#include "common/probe/pinger.h"

namespace wgvitals::probe {

// All times in milliseconds. What nothing was seen of is absent.
struct PingSummary {
  // Answered with every number below, exactly: nothing is sampled. Where the window had to forget,
  // these, jitter and outage are of what it still had; what is counted stays exact.
  struct Times {
    double minimum = 0, average = 0, maximum = 0;
    double deviation = 0;                                         // of the population
    double percentile50 = 0, percentile95 = 0, percentile99 = 0;  // Hyndman and Fan's R7
  };

  std::uint64_t transmitted = 0, received = 0;
  std::optional<double> loss_percent;  // of what was transmitted
  std::optional<Times> times;
  std::optional<double> jitter;  // mean |difference| of the round trips of successive probes
  // The longest time without an answer: from the sending of the first lost probe to that of the
  // next one answered. What has not ended lasts to the last lost one, and an interval.
  std::optional<double> outage;
  std::optional<std::uint8_t> ttl;  // of the first answer
  std::uint64_t unsent = 0, late = 0, duplicates = 0, reordered = 0;
};

class PingWindow {
 public:
  void add(const PingOutcome& outcome);

  std::size_t settled() const { return settled_; }          // answered or lost
  std::size_t tried() const { return settled_ + unsent_; }  // and those that never left
  std::size_t kept() const { return probes_.size(); }       // whose times take memory
  unsigned missed() const { return missed_; }               // lost in a row, up to now
  std::uint16_t last_error() const { return error_; }       // errno of what was unsent or refused

  // Of the answered ones; where nothing is settled yet, of the window before. 0: none.
  double mean_rtt_ms() const;

  // `scratch` keeps its memory for the next window.
  PingSummary summarise(std::chrono::nanoseconds interval, std::vector<double>& scratch) const;

  // Begins the next window; an outage that lasts, lasts on.
  void close();

  // The times of the older half, where nobody asks for long.
  void forget_half();

  // Forgets everything, as of another target.
  void reset() { *this = {}; }

 private:
  struct Probe {
    std::int64_t sent_ns;
    std::int64_t rtt_ns;  // lost where negative
    std::uint32_t number;
  };

  void insert(const Probe& probe);
  void forget(std::size_t count);

  std::vector<Probe> probes_;                   // in the order in which they were sent
  std::optional<Probe> before_;                 // the last one of the window before
  std::optional<std::int64_t> outage_from_ns_;  // began in a window before
  std::optional<std::uint8_t> ttl_;
  double rtt_sum_ms_ = 0, last_mean_ms_ = 0;
  std::size_t settled_ = 0, answered_ = 0;
  std::size_t unsent_ = 0, late_ = 0, duplicates_ = 0, reordered_ = 0;
  unsigned missed_ = 0;
  std::uint16_t error_ = 0;
};

}  // namespace wgvitals::probe
