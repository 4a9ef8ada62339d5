// The sockets of probes: how they are opened, and how they leave this host.
#pragma once

#include <sys/socket.h>
#include <time.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "common/base/fd.h"
#include "common/base/instant.h"
#include "common/base/result.h"
#include "common/model/address.h"

namespace wgvitals::probe {

struct SocketPath {
  std::string device;      // SO_BINDTODEVICE; empty: routing decides
  Endpoint source;         // bound to, with its port; family none: routing decides
  std::uint32_t mark = 0;  // SO_MARK; 0: none
  friend bool operator==(const SocketPath&, const SocketPath&) = default;
};

// Applies it to a socket that is not connected yet. denied where a right is missing, which is
// named; else io, with ENODEV and EADDRNOTAVAIL for a device and source address not there.
Result<Done> apply(const SocketPath& path, int socket);

// Whether it is bound to the device that has this name now: one that was made anew is another.
bool is_bound_to(int socket, const std::string& device);

// For ICMP, non-blocking: raw, else the unprivileged kind (icmp(7)). denied names the remedies.
Result<Fd> open_icmp_socket(AddressFamily family, bool& raw);

// What became of a packet, by the error queue (ip(7), sock_extended_err).
struct SendError {
  bool own = false;  // our host's; else an ICMP message said so
  int number = 0;    // errno, as the kernel puts the ICMP message (icmp_err_convert)
  std::uint8_t type = 0, code = 0;
  std::uint32_t info = 0;  // the MTU, with EMSGSIZE
  Endpoint offender;       // who sent the ICMP message
};

// A datagram, or one of the error queue (MSG_ERRQUEUE), with what the kernel says of it. Never
// waits; `size` is negative, and errno set, where there is none.
struct Received {
  Received(int socket, int flags, std::span<std::uint8_t> space);  // more than that is cut
  std::span<const std::uint8_t> content() const {
    return room.first(static_cast<std::size_t>(size));
  }

  std::span<std::uint8_t> room;
  ssize_t size = -1;
  Endpoint from;                    // of an error: where the quoted packet went
  Instant at;                       // by the kernel's stamp, where SO_TIMESTAMPNS is set
  std::optional<std::uint8_t> ttl;  // where it is asked for (IP_RECVTTL, IPV6_RECVHOPLIMIT)
  std::optional<SendError> error;

 private:
  void take(const cmsghdr& one);
};

}  // namespace wgvitals::probe
