#include "common/trace/tap.h"

#include <arpa/inet.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <sys/socket.h>
#include <time.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "common/base/capabilities.h"
#include "common/base/instant.h"

namespace wgvitals::trace {
namespace {

constexpr int room = 1 << 20;  // bytes: some thousand packets

Error failed(const char* what) { return {Errc::io, errno, what}; }

// A jump's targets are counted from the statement behind it.
constexpr sock_filter statement(unsigned code, std::uint32_t k) {
  return {static_cast<std::uint16_t>(code), 0, 0, k};
}
constexpr sock_filter jump(unsigned code, std::uint32_t k, std::uint8_t yes, std::uint8_t no) {
  return {static_cast<std::uint16_t>(BPF_JMP | BPF_K | code), yes, no, k};
}
constexpr unsigned load_byte = BPF_LD | BPF_B | BPF_ABS, load_half = BPF_LD | BPF_H | BPF_ABS;

constexpr std::array filter{
    /*  0 */ statement(load_byte, 0),
    /*  1 */ statement(BPF_ALU | BPF_AND | BPF_K, 0xf0),
    /*  2 */ jump(BPF_JEQ, 0x40, 0, 6),  // IPv6: 9
    /*  3 */ statement(load_byte, 9),
    /*  4 */ jump(BPF_JEQ, 17, 0, 19),  // not UDP: 24
    /*  5 */ statement(load_half, 6),
    /*  6 */ jump(BPF_JSET, 0x3fff, 17, 0),  // a fragment: 24
    /*  7 */ statement(BPF_LDX | BPF_B | BPF_MSH, 0),
    /*  8 */ statement(BPF_JMP | BPF_JA, 4),  // 13
    /*  9 */ jump(BPF_JEQ, 0x60, 0, 14),      // 24
    /* 10 */ statement(load_byte, 6),
    /* 11 */ jump(BPF_JEQ, 17, 0, 12),  // 24
    /* 12 */ statement(BPF_LDX | BPF_IMM, 40),
    // X: where UDP begins.
    /* 13 */ statement(BPF_LD | BPF_H | BPF_IND, 4),
    /* 14 */ jump(BPF_JGE, 8 + 32, 0, 9),  // shorter than a keepalive: 24
    /* 15 */ statement(BPF_LD | BPF_W | BPF_IND, 8),
    /* 16 */ jump(BPF_JEQ, 0x01000000, 8, 0),  // 25
    /* 17 */ jump(BPF_JEQ, 0x02000000, 7, 0),
    /* 18 */ jump(BPF_JEQ, 0x03000000, 6, 0),
    /* 19 */ jump(BPF_JEQ, 0x04000000, 0, 4),  // data: of the counter 0
    /* 20 */ statement(BPF_LD | BPF_W | BPF_IND, 16),
    /* 21 */ jump(BPF_JEQ, 0, 0, 2),
    /* 22 */ statement(BPF_LD | BPF_W | BPF_IND, 20),
    /* 23 */ jump(BPF_JEQ, 0, 1, 0),
    /* 24 */ statement(BPF_RET | BPF_K, 0),
    /* 25 */ statement(BPF_RET | BPF_K, 0x40000),  // all of it
};

std::chrono::steady_clock::time_point to_time(msghdr& header) {
  for (auto* one = CMSG_FIRSTHDR(&header); one != nullptr; one = CMSG_NXTHDR(&header, one)) {
    if (one->cmsg_level != SOL_SOCKET || one->cmsg_type != SO_TIMESTAMPNS) continue;
    timespec stamp{};
    std::memcpy(&stamp, CMSG_DATA(one), sizeof stamp);
    return at_stamp(stamp, read_clocks()).mono;
  }
  return std::chrono::steady_clock::now();
}

// With protocol 0, so that nothing comes before the filter is there.
Result<Fd> open_socket() {
  Fd opened(::socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (opened) return opened;
  switch (errno) {
    case EPERM:
    case EACCES:
      return Error{Errc::denied, errno,
                   "the tap needs CAP_NET_RAW: " + to_grant(std::array{Capability::net_raw})};
    case EAFNOSUPPORT:
      return Error{Errc::denied, errno,
                   "the tap needs AF_PACKET (RestrictAddressFamilies= in its unit, or "
                   "CONFIG_PACKET in the kernel)"};
    default:
      return failed("a packet socket");
  }
}

Direction to_direction(unsigned type) {
  if (type == PACKET_OUTGOING) return Direction::outgoing;
  return type == PACKET_HOST ? Direction::incoming : Direction::passing;
}

}  // namespace

Result<Done> attach_filter(int socket) {
  auto program = filter;
  const sock_fprog given{static_cast<unsigned short>(program.size()), program.data()};
  if (::setsockopt(socket, SOL_SOCKET, SO_ATTACH_FILTER, &given, sizeof given) != 0) {
    return failed("the tap's filter");
  }
  return Done{};
}

Result<Fd> open_tap() {
  auto opened = open_socket();
  if (!opened) return opened;
  auto& tap = *opened;
  if (auto attached = attach_filter(tap.get()); !attached) return attached.error();
  const int on = 1;
  if (::setsockopt(tap.get(), SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on) != 0) {
    return failed("the kernel's stamps at the tap");
  }
  if (::setsockopt(tap.get(), SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room) != 0) {
    (void)::setsockopt(tap.get(), SOL_SOCKET, SO_RCVBUF, &room, sizeof room);  // what we may have
  }
  sockaddr_ll all{};
  all.sll_family = AF_PACKET;
  all.sll_protocol = htons(ETH_P_ALL);  // only so outgoing packets are seen
  if (::bind(tap.get(), reinterpret_cast<const sockaddr*>(&all), sizeof all) != 0) {
    return failed("the tap");
  }
  return opened;
}

Result<std::optional<Sighting>> receive(int tap, std::span<std::uint8_t> buffer) {
  sockaddr_ll link{};
  alignas(cmsghdr) std::array<char, 128> control;
  iovec part{buffer.data(), buffer.size()};
  msghdr header{};
  header.msg_name = &link;
  header.msg_namelen = sizeof link;
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  header.msg_control = control.data();
  header.msg_controllen = control.size();
  const auto size = ::recvmsg(tap, &header, MSG_DONTWAIT);
  if (size < 0 && (errno == EAGAIN || errno == EINTR)) return std::optional<Sighting>();
  if (size < 0) return failed("the tap");
  return std::optional(Sighting{buffer.first(static_cast<std::size_t>(size)),
                                static_cast<std::uint32_t>(link.sll_ifindex),
                                to_direction(link.sll_pkttype), to_time(header)});
}

std::uint32_t take_drops(int tap) {
  tpacket_stats stats{};
  socklen_t size = sizeof stats;
  if (::getsockopt(tap, SOL_PACKET, PACKET_STATISTICS, &stats, &size) != 0) return 0;
  return stats.tp_drops;
}

}  // namespace wgvitals::trace
