// The path MTU by don't-fragment echoes: what routers say of it, and where they say nothing (a
// black hole) a binary search. Few packets: two where the own link's MTU passes, three where a
// router tells, in a black hole about a dozen sizes, each tried three times before it counts as too
// big.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>

#include "common/base/result.h"
#include "common/probe/echo.h"
#include "common/probe/loop.h"

namespace wgvitals::probe {

struct MtuResult {
  enum class Found : std::uint8_t {
    nothing,   // the target does not answer: `mtu` is 0
    whole,     // as large as the own link takes
    told,      // by ICMP, and true
    searched,  // larger packets vanish without a word
  };
  Found found = Found::nothing;
  std::uint32_t mtu = 0;   // bytes of the largest IP packet that passed
  std::uint32_t told = 0;  // the least that a router said, true or not; 0: none did
  Endpoint told_by;
  unsigned probes = 0;
  std::optional<Error> error;  // of nothing: what kept it; empty: silence
};

// The next size to try, from what came of those before. Pure.
class MtuSearch {
 public:
  // `most`: what the own link takes.
  MtuSearch(AddressFamily family, std::uint32_t most);

  std::uint32_t size() const { return size_; }  // to try now; 0: it is over

  void answered(std::uint32_t size);
  // Nothing came of one try, or another error than of size.
  void silent();
  // By ICMP, `by`, or the own link (family none). `mtu` 0: not told how much passes.
  void refused(std::uint32_t size, std::uint32_t mtu, const Endpoint& by);

  MtuResult result() const;

 private:
  void choose();

  std::uint32_t least_;       // every link takes it
  std::uint32_t usual_;       // what nearly every path takes: the first guess in a black hole
  std::uint32_t passes_ = 0;  // the largest that was answered
  std::uint32_t fails_;       // the least that does not pass
  std::uint32_t link_;        // what the own link takes
  std::uint32_t size_;
  unsigned tries_ = 0;  // of size_
  bool hole_ = false;   // something vanished
  bool deaf_ = false;   // nor the least is answered: routers may still tell
  std::uint32_t told_ = 0;
  Endpoint told_by_;
};

struct MtuQuestion {
  EchoPath path;
  std::uint32_t most = 65'535;              // what the own link takes, where it is known
  std::chrono::milliseconds timeout{1000};  // of the first; then four times what an answer took
};

// Any thread. `done` is called once, on the loop's thread.
void search_mtu(Loop& loop, const MtuQuestion& question, std::function<void(MtuResult)> done);

// What an interface MTU may be at most, so that WireGuard's packets to an endpoint of this family
// pass: less IP, UDP and 32 bytes of its own.
constexpr std::uint32_t wireguard_overhead(AddressFamily family) {
  return family == AddressFamily::ipv4 ? 60 : 80;
}

}  // namespace wgvitals::probe
