// ICMP echo to one address with a TTL and a size of its own for each probe, and what routers say of
// it: the ground under the search for the path MTU and the hops.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "common/base/fd.h"
#include "common/base/result.h"
#include "common/model/address.h"
#include "common/probe/icmp.h"
#include "common/probe/sockets.h"

namespace wgvitals::probe {

struct EchoPath : SocketPath {
  Endpoint to;  // its port plays no part
};

// What came back for a probe.
struct EchoAnswer {
  enum class Kind : std::uint8_t {
    reply,          // by the target
    time_exceeded,  // by the router where the TTL ended
    too_big,        // by a router, or our own host (`own`): `mtu` is what passes there, 0: not told
    unreachable,    // by a router, or our own host: `error`
  };
  Kind kind = Kind::reply;
  bool own = false;
  std::uint16_t sequence = 0;  // of the probe; not known of what is our own
  std::uint32_t mtu = 0;       // bytes, IP header included
  int error = 0;               // errno, as the kernel puts the ICMP message (icmp_err_convert)
  Endpoint from;
  std::chrono::steady_clock::time_point at;  // received, by the kernel's stamp

  Error to_error() const;  // of what is unreachable: who says so, and what
};

// With the IP header.
constexpr std::uint32_t least_echo_size(AddressFamily family) {
  return (family == AddressFamily::ipv4 ? 20u : 40u) + echo_head_size;
}

// A connected socket of its own: raw, or where that is denied the unprivileged kind (icmp(7),
// ping_group_range). Errors come by IP_RECVERR (ip(7)), the same for both kinds. Never waits. The
// don't-fragment flag is set, the path MTU that the kernel knows is passed over
// (IP_PMTUDISC_PROBE). One thread.
class EchoSocket {
 public:
  // denied names the capability, absent: there is no route or no such address or device here.
  static Result<EchoSocket> open(const EchoPath& path);

  int fd() const { return socket_.get(); }

  // `size` is the whole IP packet's, from least_echo_size() to 65,535. `ttl` 0: the system's. An
  // error of number EMSGSIZE: larger than the MTU of the own link, which comes as an answer, too.
  Result<Done> send(std::uint16_t sequence, std::uint32_t size, std::uint8_t ttl = 0);

  // The next that came for this socket's probes; false: nothing more.
  bool receive(EchoAnswer& into);

 private:
  EchoSocket(Fd socket, const EchoPath& path, bool raw);
  Result<Done> set_options(const EchoPath& path);
  bool receive_reply(EchoAnswer& into);
  bool receive_error(EchoAnswer& into);
  bool is_ours(const IcmpMessage& message) const;

  Fd socket_;
  Endpoint to_;
  bool raw_;
  Echo echo_;  // what all probes have in common
  std::vector<std::uint8_t> packet_;
  std::deque<EchoAnswer> kept_;  // what was found in the queue of errors when sending
};

}  // namespace wgvitals::probe
