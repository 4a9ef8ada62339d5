// ICMP echo to many targets: who answers, after how long. The engine sends and receives on a thread
// of its own; what it finds is taken from it as a list of outcomes, in the order in which they were
// settled.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/base/fd.h"
#include "common/base/result.h"
#include "common/base/thread.h"
#include "common/model/address.h"
#include "common/probe/sockets.h"

namespace wgvitals::probe {

// What the packets of one socket have in common: a socket is opened for each different one.
struct PingPath : SocketPath {
  AddressFamily family = AddressFamily::none;  // of the targets' addresses
  std::string netns;                           // as configured; empty: our own
  std::uint8_t ttl = 0;                        // 0: the system's
  std::uint8_t tos = 0;                        // IPv6: the traffic class
  bool dont_fragment = false;                  // also overrides the path MTU known to the kernel
  friend bool operator==(const PingPath&, const PingPath&) = default;
};

constexpr std::uint16_t least_ping_size = 16;  // a cookie, the target and the number of the probe
constexpr unsigned most_outstanding = 64;  // probes of a target: its longest timeout, in intervals

struct PingTarget {
  Endpoint address;  // without port; its family is the path's
  PingPath path;
  std::chrono::milliseconds interval{1000};
  std::chrono::milliseconds timeout{900};
  std::uint16_t size = 56;  // bytes of ICMP payload, at least least_ping_size
  // Probes a gather, an interval apart, and fewer while it is dead; 0: one an interval, for ever.
  std::uint16_t count = 0;
  std::uint8_t slowest = 16;  // a dead one's longest interval, in intervals; 1: no backoff
};

using PingId = std::uint32_t;

// Who adds a target gets its outcomes.
enum class PingOwner : std::uint8_t { ping, path };
constexpr std::size_t ping_owners = 2;

struct PingOutcome {
  enum class Kind : std::uint8_t {
    answered,   // in time, by its address, with its identifier, number and cookie
    lost,       // no answer in time; `error`: errno of an ICMP error that came for it, or 0
    unsent,     // never left: `error` is what the system said (no loss)
    late,       // an answer to one that was counted as lost
    duplicate,  // a further answer to one that was answered
    reordered,  // beside `answered`: a later probe's answer had come before
  };

  PingId id = 0;
  std::uint32_t number = 0;  // of the probe, from 0 for each target
  Kind kind = Kind::lost;
  std::uint8_t ttl = 0;  // of the answer; 0: not known
  std::uint16_t error = 0;
  std::int64_t sent_ns = 0;  // monotonic
  std::int64_t rtt_ns = 0;   // of what was answered
};

// Opens a socket where the path's namespace is: calls `open` there and returns what it returns.
using InNamespace =
    std::function<Result<Fd>(const std::string& netns, const std::function<Result<Fd>()>& open)>;

// All functions are called from one thread, the engine's.
class Pinger {
 public:
  virtual ~Pinger() = default;

  // The first probe leaves within the shorter of an interval and a second. malformed where the
  // engine cannot do it, with the reason.
  virtual Result<PingId> add(PingOwner owner, const PingTarget& target) = 0;
  virtual void remove(PingId id) = 0;  // its id may be used again once its outcomes were taken
  virtual void move(PingId id, const Endpoint& address) = 0;  // of the same family

  // Swaps in what was settled since the last call; `into` keeps its memory for the time after.
  // false: nobody had taken for so long that the oldest outcomes were dropped.
  virtual bool take(PingOwner owner, std::vector<PingOutcome>& into) = 0;

  // A gather has told what was taken: bursts of `count` that are over begin anew, and a dead target
  // is probed often enough for the next.
  virtual void gathered() = 0;

  // What keeps the owner's sockets from opening, or their answers from arriving (our own buffer ran
  // over), since its last call; each with its remedy.
  virtual std::vector<Error> failures(PingOwner owner) = 0;

  // Ends the thread, if one was begun.
  virtual void stop() = 0;
};

// Starts its thread at the first add().
std::unique_ptr<Pinger> make_pinger(StartThread start_thread, InNamespace in_namespace);

// Over liboping, which is loaded at the first add(): at most 128 targets, no namespaces, one set of
// options for all.
constexpr std::size_t most_oping_targets = 128;
std::unique_ptr<Pinger> make_oping(StartThread start_thread);

}  // namespace wgvitals::probe
