#include "common/probe/ping_socket.h"

#include <linux/errqueue.h>
#include <linux/filter.h>
#include <linux/icmp.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <time.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

namespace wgvitals::probe {
namespace {

constexpr int buffer_size = 16 << 20;

Error error_of(int number, std::string where) {
  const bool denied = number == EPERM || number == EACCES;
  return {denied ? Errc::denied : Errc::io, number, std::move(where)};
}

template <class Value>
bool set(int fd, int level, int option, const Value& value) {
  return ::setsockopt(fd, level, option, &value, sizeof value) == 0;
}

// Both kinds give errors and answers only; of a raw socket's answers only our own.
void attach_filters(const PingSocket& socket) {
  if (!socket.raw) return;
  const int fd = socket.fd.get();
  if (socket.family == AddressFamily::ipv4) {
    icmp_filter filter{};
    filter.data = ~(1u << ICMP_ECHOREPLY | 1u << ICMP_DEST_UNREACH | 1u << ICMP_TIME_EXCEEDED |
                    1u << ICMP_PARAMETERPROB);
    (void)set(fd, SOL_RAW, ICMP_FILTER, filter);
  } else {
    icmp6_filter filter;
    ICMP6_FILTER_SETBLOCKALL(&filter);
    for (const int type : {ICMP6_ECHO_REPLY, ICMP6_DST_UNREACH, ICMP6_PACKET_TOO_BIG,
                           ICMP6_TIME_EXCEEDED, ICMP6_PARAM_PROB})
      ICMP6_FILTER_SETPASS(type, &filter);
    (void)set(fd, IPPROTO_ICMPV6, ICMP6_FILTER, filter);
  }
  // The kernel shows IPv4 from its header on, IPv6 from the ICMP header on. Other programs' answers
  // would only fill the buffer.
  const std::uint16_t id = socket.id;
  sock_filter ipv4[] = {
      BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, 0),
      BPF_STMT(BPF_LD | BPF_B | BPF_IND, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ICMP_ECHOREPLY, 0, 2),
      BPF_STMT(BPF_LD | BPF_H | BPF_IND, 4),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, id, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, 0xffffffff),
      BPF_STMT(BPF_RET | BPF_K, 0),
  };
  sock_filter ipv6[] = {
      BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ICMP6_ECHO_REPLY, 0, 2),
      BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 4),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, id, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, 0xffffffff),
      BPF_STMT(BPF_RET | BPF_K, 0),
  };
  const bool is_ipv4 = socket.family == AddressFamily::ipv4;
  const sock_fprog program{
      is_ipv4 ? std::uint16_t{std::size(ipv4)} : std::uint16_t{std::size(ipv6)},
      is_ipv4 ? ipv4 : ipv6};
  (void)set(fd, SOL_SOCKET, SO_ATTACH_FILTER, program);  // only saves: receive() looks as well
}

void set_buffers(int fd) {
  if (!set(fd, SOL_SOCKET, SO_RCVBUFFORCE, buffer_size))
    (void)set(fd, SOL_SOCKET, SO_RCVBUF, buffer_size);
  if (!set(fd, SOL_SOCKET, SO_SNDBUFFORCE, buffer_size))
    (void)set(fd, SOL_SOCKET, SO_SNDBUF, buffer_size);
}

// Kernels have had these since before those that we know of. Without its errors, a raw socket is
// not told that our own queue dropped a packet (net/ipv4/raw.c, net/ipv6/raw.c).
void ask_for_details(const PingSocket& socket) {
  const int fd = socket.fd.get();
  const int on = 1;
  (void)set(fd, SOL_SOCKET, SO_TIMESTAMPNS, on);
  (void)set(fd, SOL_SOCKET, SO_RXQ_OVFL, on);
  if (socket.family == AddressFamily::ipv4) {
    (void)set(fd, IPPROTO_IP, IP_RECVTTL, on);
    (void)set(fd, IPPROTO_IP, IP_RECVERR, on);
  } else {
    (void)set(fd, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, on);
    (void)set(fd, IPPROTO_IPV6, IPV6_RECVERR, on);
  }
}

Result<Done> apply_header_fields(int fd, const PingPath& path) {
  const bool ipv4 = path.family == AddressFamily::ipv4;
  const int level = ipv4 ? IPPROTO_IP : IPPROTO_IPV6;
  if (path.ttl != 0 && !set(fd, level, ipv4 ? IP_TTL : IPV6_UNICAST_HOPS, int{path.ttl}))
    return error_of(errno, "ttl " + std::to_string(path.ttl));
  if (path.tos != 0 && !set(fd, level, ipv4 ? IP_TOS : IPV6_TCLASS, int{path.tos}))
    return error_of(errno, "tos " + std::to_string(path.tos));
  const int discover = path.dont_fragment ? IP_PMTUDISC_PROBE : IP_PMTUDISC_DONT;  // IPv6 alike
  if (!set(fd, level, ipv4 ? IP_MTU_DISCOVER : IPV6_MTU_DISCOVER, discover) ||
      (!ipv4 && path.dont_fragment && !set(fd, level, IPV6_DONTFRAG, 1)))
    return error_of(errno, "dont_fragment");
  return Done{};
}

template <class Value>
Value read(const cmsghdr& control) {
  Value value;
  std::memcpy(&value, CMSG_DATA(&control), sizeof value);
  return value;
}

}  // namespace

bool is_bound_to(const PingSocket& socket, const std::string& device) {
  return is_bound_to(socket.fd.get(), device);
}

Result<PingSocket> open_ping_socket(const PingPath& path, const InNamespace& in_namespace,
                                    std::uint16_t id) {
  PingSocket socket;
  socket.family = path.family;
  const auto open = [&] { return open_icmp_socket(path.family, socket.raw); };
  auto opened = path.netns.empty() ? open() : in_namespace(path.netns, open);
  if (!opened) return opened.error();
  socket.fd = std::move(*opened);
  socket.id = id;
  attach_filters(socket);
  set_buffers(socket.fd.get());
  ask_for_details(socket);
  if (auto applied = apply(path, socket.fd.get()); !applied) return applied.error();
  if (auto applied = apply_header_fields(socket.fd.get(), path); !applied) return applied.error();
  return socket;
}

PingBatch::PingBatch() {
  for (std::size_t i = 0; i < capacity; ++i) {
    parts_[i][0] = {heads_[i].data(), heads_[i].size()};
    messages_[i].msg_hdr.msg_iov = parts_[i].data();
    messages_[i].msg_hdr.msg_iovlen = 2;
    messages_[i].msg_hdr.msg_name = &addresses_[i];
  }
}

void PingBatch::put(const PingSocket& socket, const Echoes::Request& request) {
  const std::size_t filler = request.size - least_ping_size;
  if (filler > filler_.size()) {
    filler_.resize(filler);
    fill(filler_);
    for (std::size_t i = 0; i < count_; ++i) parts_[i][1].iov_base = filler_.data();
  }
  auto echo = request.echo;
  echo.id = socket.id;
  heads_[count_] = make_echo_head(socket.family, echo, request.filler_sum);
  parts_[count_][1] = {filler_.data(), filler};
  messages_[count_].msg_hdr.msg_namelen = to_sockaddr(request.address, addresses_[count_]);
  ++count_;
}

Result<std::size_t> PingBatch::send(const PingSocket& socket, std::size_t from) {
  for (;;) {
    const int sent = ::sendmmsg(socket.fd.get(), &messages_[from],
                                static_cast<unsigned>(count_ - from), MSG_NOSIGNAL);
    if (sent > 0) return static_cast<std::size_t>(sent);
    if (errno != EINTR) return Error{Errc::io, errno, "send"};
  }
}

PingInbox::PingInbox() : packets_(capacity) {
  received_.reserve(capacity);
  for (std::size_t i = 0; i < capacity; ++i) {
    parts_[i] = {packets_[i].data(), packets_[i].size()};
    messages_[i].msg_hdr.msg_iov = &parts_[i];
    messages_[i].msg_hdr.msg_iovlen = 1;
    messages_[i].msg_hdr.msg_name = &addresses_[i];
    messages_[i].msg_hdr.msg_control = controls_[i].data();
  }
}

int PingInbox::receive(const PingSocket& socket, int flags) {
  for (auto& message : messages_) {
    message.msg_hdr.msg_namelen = sizeof(sockaddr_storage);
    message.msg_hdr.msg_controllen = sizeof controls_[0];
  }
  return ::recvmmsg(socket.fd.get(), messages_.data(), capacity, flags | MSG_DONTWAIT, nullptr);
}

std::span<const ReceivedIcmp> PingInbox::receive(PingSocket& socket, bool& more) {
  received_.clear();
  const int count = receive(socket, 0);
  // An error is told once, and stands in the error queue.
  more = count == static_cast<int>(capacity) || (count < 0 && errno != EAGAIN);
  for (int i = 0; i < count; ++i) take(socket, static_cast<std::size_t>(i), false);
  return received_;
}

std::span<const ReceivedIcmp> PingInbox::receive_errors(PingSocket& socket, bool& more) {
  received_.clear();
  const int count = receive(socket, MSG_ERRQUEUE);
  more = count > 0;
  for (int i = 0; i < count; ++i) take(socket, static_cast<std::size_t>(i), true);
  return received_;
}

void PingInbox::take(PingSocket& socket, std::size_t at, bool from_error_queue) {
  auto& header = messages_[at].msg_hdr;
  ReceivedIcmp received;
  sock_extended_err error{};
  for (auto* control = CMSG_FIRSTHDR(&header); control != nullptr;
       control = CMSG_NXTHDR(&header, control)) {
    const auto is = [&](int level, int type) {
      return control->cmsg_level == level && control->cmsg_type == type;
    };
    if (is(SOL_SOCKET, SO_TIMESTAMPNS)) {
      const auto stamp = read<timespec>(*control);
      received.stamp_ns = stamp.tv_sec * 1'000'000'000 + stamp.tv_nsec;
    } else if (is(SOL_SOCKET, SO_RXQ_OVFL)) {
      socket.overflows = read<std::uint32_t>(*control);
    } else if (is(IPPROTO_IP, IP_TTL) || is(IPPROTO_IPV6, IPV6_HOPLIMIT)) {
      received.ttl = static_cast<std::uint8_t>(read<int>(*control));
    } else if (is(IPPROTO_IP, IP_RECVERR) || is(IPPROTO_IPV6, IPV6_RECVERR)) {
      error = read<sock_extended_err>(*control);
    }
  }
  received.from = to_endpoint(addresses_[at]);
  received.from.port = 0;
  const std::span<const std::uint8_t> bytes(
      packets_[at].data(), std::min<std::size_t>(messages_[at].msg_len, packet_size));
  const auto message = from_error_queue ? parse_quoted_request(socket.family, bytes)
                       : socket.raw && socket.family == AddressFamily::ipv4
                           ? parse_ipv4_packet(bytes)
                           : parse_icmp(socket.family, bytes);
  if (!message || (socket.raw && message->echo.id != socket.id)) return;
  received.message = *message;
  if (from_error_queue) {
    if (error.ee_origin != SO_EE_ORIGIN_ICMP && error.ee_origin != SO_EE_ORIGIN_ICMP6) return;
    received.message.type = error.ee_type;
    received.message.code = error.ee_code;
    if (error.ee_errno == EMSGSIZE) received.message.mtu = error.ee_info;
    received.message.destination = received.from;  // the queue names it by where it went
  }
  received_.push_back(received);
}

}  // namespace wgvitals::probe
