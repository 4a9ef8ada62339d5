// The books of a ping engine: which target is due when, which probes are out, and what became of
// them. No sockets and no clock: packets and stamps are handed in, so that every decision can be
// tried.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <unordered_map>
#include <vector>

#include "common/base/instant.h"
#include "common/probe/icmp.h"
#include "common/probe/ping_outbox.h"
#include "common/probe/pinger.h"
#include "common/probe/schedule.h"
#include "common/probe/wheel.h"

namespace wgvitals::probe {

class Echoes {
 public:
  static constexpr auto never = Wheel::never;

  Echoes(std::uint64_t cookie, double seed) : cookie_(cookie), seed_(seed) {}

  // `path`: a number of the caller's, given back with each request. malformed: see Pinger::add.
  Result<PingId> add(PingOwner owner, const PingTarget& wanted, std::uint32_t path,
                     Clock::time_point now);
  struct Removed {
    PingOwner owner;
    std::uint32_t path;
  };
  Removed remove(PingId id);  // what it had
  void move(PingId id, const Endpoint& address);
  bool take(PingOwner owner, std::vector<PingOutcome>& into) {
    return outbox_.take(owner, into, free_);
  }
  void gathered(Clock::time_point now);

  // A probe that is to be sent; then one of sent(), unsent() and postponed() must follow.
  struct Request {
    PingId id = 0;
    std::uint32_t path = 0;
    Endpoint address;
    Echo echo;  // without identifier
    std::uint16_t size = 0;
    std::uint16_t filler_sum = 0;
    Clock::time_point due;
  };
  Clock::time_point next_request() const { return requests_.next(); }  // or `never`
  Clock::time_point next_expiry() const { return expiries_.next(); }
  void take_due(Clock::time_point until, std::size_t most, std::vector<Request>& into);
  double rate() const { return rate_; }      // probes a second, at full rate
  bool hasty() const { return hasty_ > 0; }  // some interval is shorter than 250 ms

  void sent(const Request& request, const Instant& when);
  void unsent(const Request& request, Clock::time_point when, int error);
  // The system is short of room just now. Tried again at `again`; unsent where that has gone on for
  // the target's timeout.
  void postponed(const Request& request, Clock::time_point when, Clock::time_point again,
                 int error);

  // `stamp_ns`: when it came, by the wall clock; 0: not known. `now`: later than that. The
  // identifier has been looked at.
  void answered(const IcmpMessage& message, const Endpoint& from, std::uint8_t ttl,
                std::int64_t stamp_ns, const Instant& now);
  void refused(AddressFamily family, const IcmpMessage& message);

  // Of an answer that will be handed in soon: brings near what it will be looked up in.
  void expect(const IcmpMessage& message) const {
    if (message.echo.target < targets_.size()) __builtin_prefetch(&targets_[message.echo.target]);
  }

  // What is not answered by its deadline is lost; all that came before `now` must have been handed
  // in.
  void expire(Clock::time_point now);

 private:
  static constexpr std::uint32_t none = std::numeric_limits<std::uint32_t>::max();

  struct Target {
    Endpoint address;
    Schedule schedule{std::chrono::nanoseconds(1), 1, 0, {}};
    std::chrono::nanoseconds interval{};
    std::chrono::nanoseconds timeout{};
    Clock::time_point planned = never;  // when the next probe is due; never: none is waiting
    Clock::time_point stuck = never;    // since when it could not be sent for lack of room
    std::uint64_t answered = 0;         // which of the last 64: bit 0 is number next - 1
    std::uint32_t first = 0;            // numbers on the wire go on where the slot's last user
    std::uint32_t next = 0;             // stopped, so that answers to that one are not mistaken
    std::uint32_t newest_answered = 0;
    std::uint32_t out = none;  // the newest of its probes on their way
    std::uint32_t path = 0;
    std::uint16_t size = 0;
    std::uint16_t filler_sum = 0;
    std::uint16_t count = 0;
    std::uint16_t left = 0;  // of the burst
    PingOwner owner = PingOwner::ping;
    bool alive = false;
    bool ever_answered = false;
  };

  struct Probe {
    Endpoint address;  // the target may have moved since
    Instant sent;
    PingId target = 0;
    std::uint32_t number = 0;
    std::uint32_t next = none;  // of the target's, or of those that are free
    std::uint16_t error = 0;
  };

  struct AddressHash {
    std::size_t operator()(const Endpoint& endpoint) const;
  };

  void count(const Target& target, int change);
  Target* find(PingId id);
  Target* awaited(const Request& request);
  std::uint32_t* find_out(Target& target, std::uint32_t number);
  void release(std::uint32_t& link);
  void plan(PingId id, Target& target, Clock::time_point when, Clock::time_point now);
  void advance(PingId id, Target& target, Clock::time_point due, Clock::time_point now);
  void settle(PingId id, const Target& target, PingOutcome outcome);
  void answer_to_settled(PingId id, Target& target, const IcmpMessage& message,
                         const Endpoint& from, std::uint8_t ttl);
  void note_error(Target& target, const IcmpMessage& message, int error);
  void forget_address(PingId id, const Endpoint& address);

  std::uint64_t cookie_;
  double seed_;
  double rate_ = 0;
  std::uint32_t hasty_ = 0;
  std::chrono::nanoseconds gather_{};                // the shortest of these; 0: not known yet
  std::array<std::chrono::nanoseconds, 16> gaps_{};  // between gathers, the latest ones
  std::size_t gap_ = 0;                              // how many there were
  Clock::time_point last_gather_ = never;
  std::vector<Target> targets_;
  std::vector<PingId> free_;
  std::vector<Probe> probes_;
  std::uint32_t free_probe_ = none;
  Wheel requests_;  // by target
  Wheel expiries_;  // by probe
  std::unordered_multimap<Endpoint, PingId, AddressHash>
      by_address_;  // for errors that quote little
  PingOutbox outbox_;
};

}  // namespace wgvitals::probe
