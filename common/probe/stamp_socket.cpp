#include "common/probe/stamp_socket.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <utility>

#include "common/base/clock.h"
#include "common/base/instant.h"

namespace wgvitals::probe {
namespace {

Error fail(std::string where) {
  const bool denied = errno == EPERM || errno == EACCES;
  return {denied ? Errc::denied : Errc::io, errno, std::move(where)};
}

bool set(int fd, int level, int name, int value) {
  return ::setsockopt(fd, level, name, &value, sizeof value) == 0;
}

StampSession::Moment to_moment(const Instant& at) {
  return {std::chrono::nanoseconds(at.mono.time_since_epoch()).count(), at.wall_ns};
}

}  // namespace

Result<Fd> open_stamp_socket(AddressFamily family, const SocketPath& path) {
  const bool ipv6 = family == AddressFamily::ipv6;
  Fd fd(::socket(ipv6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return fail("socket");
  // Without these there is no exact time or TTL, but still an answer.
  (void)set(fd.get(), SOL_SOCKET, SO_TIMESTAMPNS, 1);
  if (ipv6) {
    (void)set(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, 1);
    (void)set(fd.get(), IPPROTO_IPV6, IPV6_UNICAST_HOPS, 255);
    (void)set(fd.get(), IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1);
  } else {
    (void)set(fd.get(), IPPROTO_IP, IP_TTL, 255);
    (void)set(fd.get(), IPPROTO_IP, IP_RECVTTL, 1);
  }
  if (auto applied = apply(path, fd.get()); !applied) return applied.error();
  return fd;
}

StampSession::Moment read_stamp_moment() { return to_moment(read_clocks()); }

StampClock read_stamp_clock() {
  const auto clock = read_clock_state();
  return clock ? StampClock{clock->synchronised, clock->error_ns} : StampClock{};
}

std::optional<StampDatagram> receive_stamp(int fd, std::span<std::byte> buffer) {
  const Received received(fd, 0, {reinterpret_cast<std::uint8_t*>(buffer.data()), buffer.size()});
  if (received.size < 0) return std::nullopt;
  StampDatagram datagram;
  datagram.bytes = buffer.first(received.content().size());
  datagram.from = received.from;
  datagram.when = to_moment(received.at);
  datagram.ttl = received.ttl.value_or(datagram.ttl);
  return datagram;
}

int send_stamp(int fd, std::span<const std::byte> packet, const Endpoint& to) {
  sockaddr_storage address{};
  const auto size = to_sockaddr(to, address);
  const auto sent = ::sendto(fd, packet.data(), packet.size(), MSG_DONTWAIT,
                             reinterpret_cast<const sockaddr*>(&address), size);
  return sent < 0 ? errno : 0;
}

}  // namespace wgvitals::probe
