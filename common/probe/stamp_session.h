// What STAMP's packets tell: of a sender its statistics per direction, of a reflector the numbers
// that it gives. Pure: no clock, no socket. One thread at a time.
//
// How the directions are told apart. A stateful reflector numbers its replies to a sender (RFC 8762
// section 4.3.1), so that a number of its that never came here is a reply that was lost on the way
// back. Packets are settled in their order, each two timeouts after it was sent: what was answered
// in time has been heard of by then, and what is sent once a reply has come gets a higher number
// than that. They are settled in runs: a run ends at an answered packet whose number is above all
// before and below all behind it. Of a run of n packets, u of which were not answered in time, over
// which the reflector's numbers grew by g, h of them seen here:
//   lost backward       = min(g - h, u)         its replies that never came
//   lost forward        = u - lost backward     the rest never reached it
//   duplicates forward  = g - (n - lost forward)
//   duplicates backward = replies that came with a number already seen
// A lost packet may have been overtaken, so that its number belongs to another run: what is left of
// g - h or of u is set against that of the runs of the timeout before, which are told only then.
// Under loss and reordering this is exact. Where duplicates on the way there are lost on their way
// back, close to packets that never got there, those are taken for these.
//   Our numbers begin at 1, as if a packet 0 had been lost on its way: a stateful reflector begins
// at 0, so that its first reply already tells it from a stateless one, which copies our numbers.
// Of a stateless one, nothing is known per direction.
//   A reflector began to count anew where it gives a number that is not above all that had come
// before the packet was sent, or where it grew by far more than was sent. What is not settled by
// then stays without direction, as do the first packet of a session, and those of an outage until
// an answer ends it: they are only sent or received, and no part of a percentage. A stateless
// reflector that takes a stateful one's place within a session is not noticed.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <utility>

#include "common/model/address.h"
#include "common/probe/stamp.h"

namespace wgvitals::probe {

// What was resolved within some time. Percentages, means and such are absent where there is
// nothing that they could be of. Milliseconds.
struct StampWindow {
  struct Mean {
    double sum = 0;
    std::uint64_t count = 0;
    void add_ns(std::int64_t nanoseconds) {
      sum += static_cast<double>(nanoseconds) / 1e6;
      ++count;
    }
    std::optional<double> value() const {
      return count > 0 ? std::optional(sum / static_cast<double>(count)) : std::nullopt;
    }
  };

  std::uint64_t sent = 0, received = 0;  // answered or timed out; answered
  std::uint64_t directed = 0;            // those whose directions were settled, and of them:
  std::uint64_t lost_forward = 0, lost_backward = 0;
  std::uint64_t duplicates_forward = 0, duplicates_backward = 0;
  Mean rtt;                          // without the reflector's own time
  Mean ipdv_forward, ipdv_backward;  // |difference| of the delays of a packet and its next
  Mean delay_forward, delay_backward;
  bool disproved = false;  // a delay below zero by more than both clocks' errors: see delays_hold()

  std::optional<double> lost_forward_percent() const;   // of what was sent
  std::optional<double> lost_backward_percent() const;  // of what reached the reflector

  // Whether delays may be told. A negative one is no reason to leave it out alone (the rest would
  // be too large), nor to call it 0; but where it is beyond what both clocks own up to, they are
  // not synchronised whatever they say, and no delay of the window is known.
  bool delays_hold() const { return !disproved; }

  void add(const StampWindow& later);
};

// Our clock, when it was last asked (adjtimex(2)).
struct StampClock {
  bool synchronised = false;
  std::int64_t error_ns = 0;
};

// A sender's packets to one reflector, from one port.
class StampSession {
 public:
  // A moment on both clocks, in nanoseconds.
  struct Moment {
    std::int64_t monotonic = 0;
    std::int64_t wall = 0;  // since 1970
  };

  explicit StampSession(std::chrono::nanoseconds timeout) : timeout_(timeout.count()) {}

  // What to send now; counts once sent() is told of it.
  StampRequest next(Moment now, const StampClock& clock) const;
  void sent(const StampRequest& request, Moment when);

  enum class Arrival : std::uint8_t {
    answer,     // the first, in time
    duplicate,  // a further one, in time
    ignored,    // late, or no reply to a packet of this session
  };
  // `when`: as the kernel received it. What is no answer changes no time.
  Arrival received(const StampReply& reply, Moment when, const StampClock& clock);

  // Gives up what has waited for too long: how many packets were lost thereby. Settles directions.
  unsigned expire(std::int64_t monotonic_ns);

  // What was resolved since the last call.
  StampWindow take() { return std::exchange(window_, {}); }

 private:
  static constexpr std::size_t most_numbers = 4;  // of one packet; more only count as duplicates

  struct Packet {
    std::uint64_t stamp = 0;  // as it was sent: who answers must have seen it
    Moment sent;
    std::int64_t floor = -1;  // the reflector's highest number that had come before
    std::array<std::uint32_t, most_numbers> numbers{};  // the reflector's, each once
    std::uint8_t number_count = 0;
    std::uint32_t copies = 0;  // replies with a number already seen
    bool lost = false;
    bool answered = false;
    bool timed = false;      // what follows is known
    std::int64_t there = 0;  // T2, on the reflector's clock
    std::int64_t rtt = 0;
  };
  struct Run {  // while it grows
    std::uint64_t sent = 0, lost = 0, seen = 0, copies = 0;
    std::int64_t begun = 0;  // its first packet was sent, monotonic
    std::int64_t highest = -1;
  };

  struct Settled {          // a run that may still change
    std::int64_t sent = 0;  // its last packet, monotonic
    std::uint64_t packets = 0, forward = 0, backward = 0, copies_there = 0, copies_back = 0;
    std::uint64_t spare = 0;  // numbers that never came, and are of no lost packet: copies
  };

  Packet* find(std::uint32_t number);
  void number(Packet& packet, std::uint32_t theirs);
  void begin_count();
  void time(Packet& packet, const StampReply& reply, Moment when, const StampClock& clock);
  void compare(const Packet* first, const Packet* second);
  void settle_front();
  bool ends_run() const;
  void settle_run();
  void match(Settled& run);
  bool is_final(const Settled& run, std::int64_t monotonic_ns) const;
  void tell(const Settled& run);

  std::int64_t timeout_;
  std::deque<Packet> packets_;        // sent less than two timeouts ago, one for each number
  std::uint32_t first_number_ = 1;    // of the first of them
  std::size_t resolved_ = 0;          // so many of them are answered or given up
  std::optional<Packet> previous_;    // the one before it
  bool stateful_ = false;             // some number of the reflector's is not ours
  std::int64_t highest_ = -1;         // of the reflector's numbers
  std::optional<std::int64_t> base_;  // the highest before the run; empty: the run has no direction
  Run run_;
  std::deque<Settled> settled_;
  StampWindow window_;
};

// A reflector's numbers: from 0 for each sender, which is an address, a port and a session
// identifier. A sender that was silent for `idle` is forgotten when room is wanted.
class StampNumbers {
 public:
  using Clock = std::chrono::steady_clock;

  StampNumbers(std::size_t most, std::chrono::nanoseconds idle) : most_(most), idle_(idle) {}

  // Of the reply to a request that came now; empty for a new sender where there is no room.
  std::optional<std::uint32_t> next(const Endpoint& sender, std::uint16_t session,
                                    Clock::time_point now);
  std::size_t size() const { return senders_.size(); }

 private:
  using Key = std::pair<std::array<std::uint8_t, 16>, std::array<std::uint32_t, 4>>;
  struct Sender {
    std::uint32_t next = 0;
    Clock::time_point last;
  };

  std::size_t most_;
  std::chrono::nanoseconds idle_;
  std::map<Key, Sender> senders_;
  Clock::time_point swept_{};
};

// So many a second, with what was not used of the last second.
class Allowance {
 public:
  using Clock = std::chrono::steady_clock;

  explicit Allowance(unsigned a_second) : rate_(a_second), left_(a_second) {}
  bool take(Clock::time_point now);

 private:
  double rate_, left_;
  std::optional<Clock::time_point> last_;
};

}  // namespace wgvitals::probe
