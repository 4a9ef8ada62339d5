// One server's handshake, from the first initiation to the verdict: what is sent when, and what is
// made of what comes. No sockets and no clock: packets and times are handed in.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "common/base/instant.h"
#include "common/probe/handshake.h"
#include "common/probe/inner_packet.h"
#include "common/probe/noise.h"
#include "common/probe/sockets.h"
#include "common/probe/timestamps.h"

namespace wgvitals::probe {

// What was seen beside the outcome: the ground of its advice.
struct HandshakeEvidence {
  bool psk_mismatch = false, invalid = false;
  std::optional<SendError> closed, unreachable;  // the last one
  std::optional<std::chrono::nanoseconds> late;  // an answer to an earlier initiation
  Timestamps::Stamp stamp;                       // of the last initiation
  std::optional<InnerAnswer> inner_error;
  std::optional<bool> port_open;  // inside; false: refused
};

class HandshakeAttempt {
 public:
  using Time = std::chrono::steady_clock::time_point;
  static constexpr auto never = Time::max();

  struct Sending {
    Time at;        // when it left: keys take their time before
    int error = 0;  // errno
  };
  struct Ways {
    std::function<Sending(Bytes, const Endpoint& to)> send;
    std::function<Timestamps::Stamp(std::int64_t now_ns, std::int64_t ahead_ns)> stamp;
    std::function<std::uint32_t()> random;
    std::function<std::uint32_t()> index;  // of an initiation: none is used twice
  };

  // `target` outlives it.
  HandshakeAttempt(const HandshakeTarget& target, const Initiator& initiator, Ways ways);

  // Begins anew with the server at this address. `since`: when the probe began, for its steps.
  void begin(const Endpoint& server, Time since, const Instant& now);
  void tick(const Instant& now);     // what is due is done
  Time due() const { return due_; }  // never where it is over
  bool is_over() const { return phase_ == Phase::over; }

  // `at`: when the packet came.
  void received(Bytes packet, const Endpoint& from, Time at, const Instant& now);
  void refused(const SendError& error, Time at);  // of a packet of this attempt

  bool knows(std::uint32_t index) const;  // one of its initiations
  Time last_initiation() const;           // when it left; the least time where none did
  const Endpoint& server() const { return outcome_.server; }
  // Once it is over.
  const HandshakeOutcome& outcome() const { return outcome_; }
  const HandshakeEvidence& evidence() const { return evidence_; }
  const Initiator& initiator() const { return initiator_; }

 private:
  // Before the first initiation has left, as where its stamp waits, nothing can answer.
  enum class Phase : std::uint8_t { over, begun, answer, tunnel };
  struct Sent {
    std::uint32_t index;
    Time at;
  };
  struct Cookie {
    std::array<std::uint8_t, 16> bytes;
    Time at;
  };
  struct InnerEcho {
    Time sent;
    bool answered = false;
  };

  template <class ToText>
  void step(Time at, ToText&& to_text);
  void initiate(const Instant& now);
  void note(const Sending& sending);
  bool is_shortage(const Sending& sending);                            // and there are tries left
  const Sent* find_earlier(std::optional<std::uint32_t> index) const;  // than the last initiation
  void take_response(Bytes packet, const Endpoint& from, Time at, const Instant& now);
  void take_cookie(Bytes packet, const Endpoint& from, Time at);
  void take_data(Bytes packet, Time at, const Instant& now);
  void enter_tunnel(const Instant& now);
  void send_inside(Time now);
  void take_echo(std::size_t number, Time at, const Instant& now);
  void take_tcp(bool open, Time at);
  bool is_alive() const;  // the tunnel, as far as it was asked
  Sending send_message(Bytes inner);
  void conclude(HandshakeOutcome::Kind kind, Time now);
  HandshakeOutcome::Kind weigh() const;

  const HandshakeTarget& target_;
  Initiator initiator_;
  Ways ways_;
  Phase phase_ = Phase::over;
  Time due_ = never;
  Time began_;
  HandshakeOutcome outcome_;
  HandshakeEvidence evidence_;
  std::optional<Cookie> cookie_;  // outlives an attempt: a server's is good for two minutes
  bool with_mac2_ = false;        // the last initiation has one
  bool again_ = false;            // the next initiation is no retry
  bool reserved_ = false;         // and has its timestamp already
  unsigned timeouts_left_ = 0, shortages_left_ = 0;
  std::vector<Sent> initiations_;  // of this attempt
  std::vector<Sent> unanswered_;   // of the one before
  std::vector<InnerEcho> echoes_;
  std::chrono::nanoseconds tunnel_rtts_{};  // of all that were answered
  unsigned syns_sent_ = 0;
  InnerPath inner_;
  std::uint16_t inner_id_ = 0;
  std::uint64_t inner_cookie_ = 0;
  std::uint32_t inner_tcp_ = 0;
};

struct HandshakeSurroundings {
  bool state_is_new = false;  // no earlier timestamp of this key was known
  bool clock_is_synchronised = true;
};

// What the outcome usually means, and what to check next. Empty where all is well.
std::string to_advice(const HandshakeTarget& target, const HandshakeAttempt& attempt,
                      const HandshakeSurroundings& here);
std::string to_advice_on_name(const std::string& host);

}  // namespace wgvitals::probe
