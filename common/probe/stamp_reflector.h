// Answers STAMP and TWAMP light senders on the loop's thread: stateful, and only to whom it may.
// Nothing is amplified: a reply is as long as its request, none is sent to a request of less than
// least_stamp_size bytes, from outside of the allowed prefixes, or above the rate. A request from
// our own port number is not answered either: two reflectors would answer one another for ever.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "common/base/result.h"
#include "common/model/address.h"
#include "common/probe/loop.h"
#include "common/probe/stamp_session.h"
#include "common/probe/stamp_socket.h"

namespace wgvitals::probe {

bool holds(const Prefix& prefix, const Endpoint& address);

// Who is answered, with which number. Pure.
class StampDoor {
 public:
  using Clock = std::chrono::steady_clock;

  StampDoor(std::uint16_t port, std::vector<Prefix> allowed, unsigned a_second);

  // Fills the reply to a request, but for the time at which it is sent; false: not answered.
  bool answer(const StampDatagram& datagram, const StampClock& clock, Clock::time_point now,
              StampReply& reply);

 private:
  // As RFC 5357 has it for REFWAIT; and what 4,096 senders keep is some 500 KB.
  static constexpr std::chrono::seconds idle{900};
  static constexpr std::size_t most_senders = 4096;

  std::uint16_t port_;
  std::vector<Prefix> allowed_;
  Allowance allowance_;
  StampNumbers numbers_{most_senders, idle};
};

// From one thread, beside the loop's. `loop` must outlive its thread.
class StampReflector {
 public:
  struct Habits {
    SocketPath path;              // its source is where to listen: an address and a port
    std::vector<Prefix> allowed;  // who is answered
    unsigned packets_a_second = 0;
  };

  StampReflector(Loop& loop, Habits habits);
  ~StampReflector();

  // Listens as soon as the address is there, which may be later, as with a tunnel; anew where the
  // device is made anew.
  void start();

  std::optional<Error> failure();  // why it does not listen

 private:
  class Core;
  std::shared_ptr<Core> core_;
};

}  // namespace wgvitals::probe
