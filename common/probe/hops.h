// The routers on the way to a target, in mtr's manner: echoes whose TTL ends at each of them, all
// hops and rounds at once, but paced, because routers limit how often they answer
// (net.ipv4.icmp_ratelimit; RFC 1812, 4.3.2.8). What a hop alone does not answer is no loss of the
// path: only what is missing at it and at all hops behind it is.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <utility>
#include <vector>

#include "common/base/result.h"
#include "common/probe/echo.h"
#include "common/probe/loop.h"

namespace wgvitals::probe {

struct Hop {
  unsigned sent = 0, received = 0;
  Endpoint address;        // who answered most often; family none: nobody did
  unsigned addresses = 0;  // how many different did
  std::chrono::nanoseconds last{}, best{}, worst{}, total{};
};

struct HopsResult {
  std::vector<Hop> hops;       // by TTL, from 1, up to the target or the last that answered
  bool reached = false;        // the target itself answered
  std::optional<Error> error;  // what kept it; empty: silence
};

constexpr unsigned most_hops = 64;
constexpr unsigned most_rounds = 1000;

// Who answered for which TTL. Pure.
class HopTable {
 public:
  explicit HopTable(unsigned most);

  // Up to which TTL a round goes: the target's, or in rounds behind the first a few more than
  // answered.
  unsigned last_ttl(bool first_round) const;

  void sent(unsigned ttl);
  void answered(unsigned ttl, const Endpoint& from, std::chrono::nanoseconds took);
  void ended(unsigned ttl, bool at_target);  // here the way ends

  HopsResult result() const;

 private:
  struct Row {
    Hop hop;
    std::vector<std::pair<Endpoint, unsigned>> who;
  };

  std::vector<Row> rows_;
  unsigned end_;           // the least TTL at which the way ended
  unsigned farthest_ = 0;  // that answered
  bool reached_ = false;
};

struct HopsQuestion {
  EchoPath path;
  unsigned rounds = 10;                    // from 1 to most_rounds
  unsigned max_hops = 30;                  // from 1 to most_hops
  std::chrono::milliseconds spacing{200};  // between probes of the same hop
  std::chrono::milliseconds timeout{1000};
};

// Any thread. `done` is called once, on the loop's thread, a timeout after the last probe at the
// latest.
void trace_hops(Loop& loop, const HopsQuestion& question, std::function<void(HopsResult)> done);

}  // namespace wgvitals::probe
