#include "common/probe/echo.h"

#include <linux/icmp.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <random>
#include <span>
#include <utility>

namespace wgvitals::probe {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int time_exceeded_v4 = 11, too_big_v4 = 3, too_big_code_v4 = 4;  // RFC 792, RFC 1191
constexpr int time_exceeded_v6 = 3, too_big_v6 = 2;                        // RFC 4443

bool is_v4(const Endpoint& one) { return one.family == AddressFamily::ipv4; }

Error system_error(const char* what) { return {Errc::io, errno, what}; }

Error of_icmp(Error error) {
  if (error.number == ENODEV || error.number == EADDRNOTAVAIL) error.code = Errc::absent;
  error.where.insert(0, "ICMP: ");
  return error;
}

// What the kernel says about a packet that it could not send or an address it could not take.
Error route_error(const Endpoint& to) {
  const int number = errno;
  char text[longest_endpoint];
  const bool denied = number == EPERM || number == EACCES;
  const bool absent = number == ENETUNREACH || number == EHOSTUNREACH || number == EADDRNOTAVAIL;
  return {denied   ? Errc::denied
          : absent ? Errc::absent
                   : Errc::io,
          number, "ICMP echo to " + std::string(to_address_text(to, text))};
}

void judge_error(const SendError& error, AddressFamily family, EchoAnswer& into) {
  using Kind = EchoAnswer::Kind;
  const bool v4 = family == AddressFamily::ipv4;
  into.own = error.own;
  into.error = error.number;
  const bool too_big = error.own ? error.number == EMSGSIZE
                       : v4      ? error.type == too_big_v4 && error.code == too_big_code_v4
                                 : error.type == too_big_v6;
  const bool exceeded = !error.own && error.type == (v4 ? time_exceeded_v4 : time_exceeded_v6) &&
                        error.code == 0;  // 1 is of reassembly
  into.kind = too_big ? Kind::too_big : exceeded ? Kind::time_exceeded : Kind::unreachable;
  into.mtu = too_big ? error.info : 0;
}

}  // namespace

Error EchoAnswer::to_error() const {
  char text[longest_endpoint];
  return {Errc::absent, error, std::string(to_address_text(from, text)) + " says"};
}

EchoSocket::EchoSocket(Fd socket, const EchoPath& path, bool raw)
    : socket_(std::move(socket)), to_(path.to), raw_(raw) {
  std::random_device random;
  echo_.cookie = std::uint64_t{random()} << 32 | random();
  echo_.id = static_cast<std::uint16_t>(random());
}

Result<EchoSocket> EchoSocket::open(const EchoPath& path) {
  if (path.to.family == AddressFamily::none) return Error{Errc::absent, 0, "no address"};
  bool is_raw = false;
  auto socket = open_icmp_socket(path.to.family, is_raw);
  if (!socket) return of_icmp(socket.error());
  EchoSocket echo(std::move(*socket), path, is_raw);
  const auto set = echo.set_options(path);
  if (!set) return set.error();
  return echo;
}

Result<Done> EchoSocket::set_options(const EchoPath& path) {
  const auto set = [this](int level, int option, const auto& value) {
    return ::setsockopt(fd(), level, option, &value, sizeof value) == 0;
  };
  const bool v4 = is_v4(to_);
  const int on = 1;
  if (const auto applied = apply(path, fd()); !applied) return of_icmp(applied.error());
  static_assert(IP_PMTUDISC_PROBE == IPV6_PMTUDISC_PROBE);
  const int probing = IP_PMTUDISC_PROBE;
  const bool well =
      v4 ? set(IPPROTO_IP, IP_MTU_DISCOVER, probing) && set(IPPROTO_IP, IP_RECVERR, on)
         : set(IPPROTO_IPV6, IPV6_MTU_DISCOVER, probing) && set(IPPROTO_IPV6, IPV6_DONTFRAG, on) &&
               set(IPPROTO_IPV6, IPV6_RECVERR, on);
  if (!well) return system_error("ICMP: socket options");
  (void)set(SOL_SOCKET, SO_TIMESTAMPNS, on);  // without, our own time of receipt is used
  if (raw_ && v4) {
    (void)set(SOL_RAW, ICMP_FILTER, icmp_filter{~(1u << ICMP_ECHOREPLY)});
  } else if (raw_) {
    icmp6_filter filter;
    ICMP6_FILTER_SETBLOCKALL(&filter);
    ICMP6_FILTER_SETPASS(ICMP6_ECHO_REPLY, &filter);
    (void)set(IPPROTO_ICMPV6, ICMP6_FILTER, filter);
  }
  sockaddr_storage address{};
  auto to = to_;
  to.port = 0;
  const auto size = to_sockaddr(to, address);
  if (::connect(fd(), reinterpret_cast<sockaddr*>(&address), size) != 0) return route_error(to_);
  if (!raw_) {  // the kernel puts an identifier of its own, which it tells as the port
    socklen_t length = sizeof address;
    if (::getsockname(fd(), reinterpret_cast<sockaddr*>(&address), &length) != 0) {
      return system_error("ICMP: getsockname");
    }
    echo_.id = to_endpoint(address).port;
  }
  return Done{};
}

Result<Done> EchoSocket::send(std::uint16_t sequence, std::uint32_t size, std::uint8_t ttl) {
  const bool v4 = is_v4(to_);
  packet_.resize(std::clamp(size, least_echo_size(to_.family), 65'535u) - (v4 ? 20 : 40));
  const auto filler = std::span(packet_).subspan(echo_head_size);
  fill(filler);
  echo_.sequence = sequence;
  const auto head = make_echo_head(to_.family, echo_, to_sum(filler));
  std::copy(head.begin(), head.end(), packet_.begin());
  const int hops = ttl == 0 ? -1 : ttl;
  if (::setsockopt(fd(), v4 ? static_cast<int>(IPPROTO_IP) : static_cast<int>(IPPROTO_IPV6),
                   v4 ? IP_TTL : IPV6_UNICAST_HOPS, &hops, sizeof hops) != 0) {
    return system_error("ICMP: TTL");
  }
  // An ICMP error that came meanwhile is said in place of sending; it stands in the queue, too.
  for (int tries = 0; tries < 8; ++tries) {
    if (::send(fd(), packet_.data(), packet_.size(), MSG_DONTWAIT) >= 0) return Done{};
    const auto failure = route_error(to_);
    bool foreign = false;
    for (EchoAnswer answer; receive_error(answer);) {
      foreign = foreign || !answer.own;
      kept_.push_back(answer);
      if (answer.own && answer.kind == EchoAnswer::Kind::too_big) return failure;
    }
    if (!foreign && failure.number != EINTR) return failure;
  }
  return Error{Errc::io, 0, "ICMP echo: too many errors come in"};
}

bool EchoSocket::receive(EchoAnswer& into) {
  if (!kept_.empty()) {
    into = kept_.front();
    kept_.pop_front();
    return true;
  }
  return receive_error(into) || receive_reply(into);
}

bool EchoSocket::is_ours(const IcmpMessage& message) const {
  // Routers quote as little as eight bytes of a request.
  return message.echo.id == echo_.id && (!message.marked || message.echo.cookie == echo_.cookie);
}

bool EchoSocket::receive_reply(EchoAnswer& into) {
  std::array<std::uint8_t, 512> room;  // more is cut: the cookie stands in front
  for (;;) {
    const Received message(fd(), 0, room);
    if (message.size < 0) {
      // A pending error is said once in place of a message.
      if (errno == EAGAIN || errno == EWOULDBLOCK) return false;
      return receive_error(into);
    }
    const auto icmp = raw_ && is_v4(to_) ? parse_ipv4_packet(message.content())
                                         : parse_icmp(to_.family, message.content());
    if (!icmp || icmp->kind != IcmpMessage::Kind::reply || !icmp->marked || !is_ours(*icmp)) {
      continue;
    }
    into = {};
    into.sequence = icmp->echo.sequence;
    into.from = message.from;
    into.at = message.at.mono;
    return true;
  }
}

bool EchoSocket::receive_error(EchoAnswer& into) {
  std::array<std::uint8_t, 512> room;  // more is cut: the cookie stands in front
  for (;;) {
    const Received message(fd(), MSG_ERRQUEUE, room);
    if (message.size < 0) return false;
    if (!message.error) continue;
    into = {};
    into.from = message.error->offender;
    into.at = message.at.mono;
    judge_error(*message.error, to_.family, into);
    if (into.own) return true;
    const auto request = parse_quoted_request(to_.family, message.content());
    if (!request || !is_ours(*request)) continue;
    into.sequence = request->echo.sequence;
    return true;
  }
}

}  // namespace wgvitals::probe
