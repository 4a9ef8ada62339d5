#include "common/probe/sockets.h"

#include <linux/errqueue.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "common/base/capabilities.h"

namespace wgvitals::probe {
namespace {

template <class T>
T to(const cmsghdr& message) {
  T value{};
  std::memcpy(&value, CMSG_DATA(&message), sizeof value);
  return value;
}

bool is_denial(int number) { return number == EPERM || number == EACCES; }

Error failed(std::string where, const char* right) {
  const int number = errno;
  if (is_denial(number)) return {Errc::denied, number, std::move(where) + ": needs " + right};
  return {Errc::io, number, std::move(where)};
}

}  // namespace

Result<Done> apply(const SocketPath& path, int socket) {
  const auto& device = path.device;
  if (!device.empty() && ::setsockopt(socket, SOL_SOCKET, SO_BINDTODEVICE, device.c_str(),
                                      static_cast<socklen_t>(device.size() + 1)) != 0) {
    return failed("device " + device, "CAP_NET_RAW");
  }
  if (path.mark != 0 &&
      ::setsockopt(socket, SOL_SOCKET, SO_MARK, &path.mark, sizeof path.mark) != 0) {
    return failed("mark " + std::to_string(path.mark),
                  "CAP_NET_ADMIN, or CAP_NET_RAW from Linux 5.17 on");
  }
  if (path.source.family == AddressFamily::none) return Done{};
  sockaddr_storage address{};
  const auto size = to_sockaddr(path.source, address);
  if (::bind(socket, reinterpret_cast<const sockaddr*>(&address), size) == 0) return Done{};
  char text[longest_endpoint];
  const auto where = path.source.port != 0
                         ? "listening on " + std::string(to_text(path.source, text))
                         : "source address " + std::string(to_address_text(path.source, text));
  return failed(where, "CAP_NET_BIND_SERVICE");
}

bool is_bound_to(int socket, const std::string& device) {
  ifreq request{};
  device.copy(request.ifr_name, IFNAMSIZ - 1);
  int bound = 0;
  socklen_t size = sizeof bound;
  return ::ioctl(socket, SIOCGIFINDEX, &request) == 0 &&
         ::getsockopt(socket, SOL_SOCKET, SO_BINDTOIFINDEX, &bound, &size) == 0 &&
         bound == request.ifr_ifindex;
}

Result<Fd> open_icmp_socket(AddressFamily family, bool& raw) {
  const bool ipv4 = family == AddressFamily::ipv4;
  const int domain = ipv4 ? AF_INET : AF_INET6;
  const int protocol = ipv4 ? static_cast<int>(IPPROTO_ICMP) : static_cast<int>(IPPROTO_ICMPV6);
  for (const int kind : {SOCK_RAW, SOCK_DGRAM}) {
    Fd socket(::socket(domain, kind | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol));
    raw = kind == SOCK_RAW;
    if (socket) return socket;
    if (!is_denial(errno)) return Error{Errc::io, errno, "socket"};
  }
  return Error{Errc::denied, EPERM,
               "needs CAP_NET_RAW: " + to_grant(std::array{Capability::net_raw}) +
                   "; or its group within sysctl net.ipv4.ping_group_range"};
}

Received::Received(int socket, int flags, std::span<std::uint8_t> space) : room(space) {
  sockaddr_storage address{};
  alignas(cmsghdr) char control[512];
  iovec part{room.data(), room.size()};
  msghdr header{};
  header.msg_name = &address;
  header.msg_namelen = sizeof address;
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control;
  header.msg_controllen = sizeof control;
  do {
    size = ::recvmsg(socket, &header, flags | MSG_DONTWAIT);
  } while (size < 0 && errno == EINTR);
  if (size < 0) return;
  at = read_clocks();
  from = to_endpoint(address);
  for (auto* one = CMSG_FIRSTHDR(&header); one != nullptr; one = CMSG_NXTHDR(&header, one)) {
    take(*one);
  }
}

void Received::take(const cmsghdr& one) {
  const auto is = [&](int level, int type) {
    return one.cmsg_level == level && one.cmsg_type == type;
  };
  if (is(SOL_SOCKET, SO_TIMESTAMPNS)) at = at_stamp(to<timespec>(one), at);
  if (is(IPPROTO_IP, IP_TTL) || is(IPPROTO_IPV6, IPV6_HOPLIMIT)) {
    ttl = static_cast<std::uint8_t>(to<int>(one));
  }
  const bool told = is(IPPROTO_IP, IP_RECVERR) || is(IPPROTO_IPV6, IPV6_RECVERR);
  if (!told || one.cmsg_len < CMSG_LEN(sizeof(sock_extended_err))) return;
  const auto said = to<sock_extended_err>(one);
  // SO_EE_OFFENDER: the sender of the ICMP message stands behind.
  sockaddr_storage sender{};
  std::memcpy(&sender, CMSG_DATA(&one) + sizeof said,
              std::min(sizeof sender, one.cmsg_len - CMSG_LEN(sizeof said)));
  error = {said.ee_origin == SO_EE_ORIGIN_LOCAL,
           static_cast<int>(said.ee_errno),
           said.ee_type,
           said.ee_code,
           said.ee_info,
           to_endpoint(sender)};
}

}  // namespace wgvitals::probe
