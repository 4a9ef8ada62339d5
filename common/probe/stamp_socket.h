// STAMP's datagrams on a socket, with the kernel's time of their arrival.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "common/base/fd.h"
#include "common/base/result.h"
#include "common/model/address.h"
#include "common/probe/sockets.h"
#include "common/probe/stamp_session.h"

namespace wgvitals::probe {

// Does not block. Its packets leave with a TTL of 255, as TWAMP wants them (RFC 5357), so that the
// other side can tell how many hops there were. `where` of an error names the remedy.
Result<Fd> open_stamp_socket(AddressFamily family, const SocketPath& path);

StampSession::Moment read_stamp_moment();

// What the kernel knows of its clock (adjtimex(2)), or that it does not say.
StampClock read_stamp_clock();

struct StampDatagram {
  std::span<std::byte> bytes;  // of the caller's buffer
  Endpoint from;
  StampSession::Moment when;  // as the kernel received it (SO_TIMESTAMPNS)
  std::uint8_t ttl = 255;     // 255 also: not known
};

// Empty where none waits.
std::optional<StampDatagram> receive_stamp(int fd, std::span<std::byte> buffer);

// 0, or errno.
int send_stamp(int fd, std::span<const std::byte> packet, const Endpoint& to);

}  // namespace wgvitals::probe
