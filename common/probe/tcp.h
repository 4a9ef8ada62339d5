// TCP services: does a connection come about, and is the line that is expected said on it. As
// Telegraf's net_response (plugins/inputs/net_response/net_response.go), but many at once.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/model/address.h"
#include "common/model/selection.h"
#include "common/probe/loop.h"
#include "common/probe/resolver.h"
#include "common/probe/rounds.h"
#include "common/probe/sockets.h"

namespace wgvitals::probe {

// errno of a socket or connection that could not be had: ours to mend, and no fault of the target.
bool is_shortage(int number);

struct TcpTarget {
  std::string host;
  std::uint16_t port = 0;
  AddressFamily family = AddressFamily::none;
  SocketPath path;
  Pace pace;
  std::chrono::milliseconds timeout{1000};       // of name and connection
  std::chrono::milliseconds read_timeout{1000};  // of the answer
  std::string send;                              // empty: nothing
  std::optional<Pattern> expect;                 // of the first line of the answer
};

struct TcpOutcome {
  enum class Kind : std::uint8_t {  // numbers and order are Telegraf's
    success,
    timeout,
    connection_failed,
    read_failed,
    string_mismatch,
  };
  Kind kind = Kind::success;
  // Until connected, until sent, until answered: whichever was last. Without the name's look-up.
  // Absent where no connection came about.
  std::optional<std::chrono::nanoseconds> took;
};

class TcpProbes {
 public:
  using Outcomes = Latest<TcpOutcome>::Outcomes;

  // `loop` and `resolver` outlive this. Nothing happens before begin().
  TcpProbes(Loop& loop, Resolver& resolver, std::vector<TcpTarget> targets, double seed);
  ~TcpProbes();

  Result<Done> begin();  // once is enough; never fails. Throws as Loop::post()
  void set_gather(std::chrono::nanoseconds gather);
  // What is new since the last call replaces what `into` (one for each target) has.
  void take(Outcomes& into);
  // What keeps us from probing now, and names that do not resolve.
  std::vector<Error> wrong();

 private:
  class Core;
  Loop& loop_;
  std::shared_ptr<Core> core_;
  bool begun_ = false;
};

}  // namespace wgvitals::probe
