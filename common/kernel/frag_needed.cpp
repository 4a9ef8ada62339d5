#include "common/kernel/frag_needed.h"

#include <linux/filter.h>
#include <linux/icmp.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>

namespace wgvitals::kernel {
namespace {

// A raw socket's packet begins with the IP header: X is its size, then type and code in one.
constexpr std::uint32_t type_and_code = ICMP_DEST_UNREACH << 8 | ICMP_FRAG_NEEDED;
constexpr std::uint32_t kept_bytes = 28;
constexpr sock_filter instructions[] = {
    {BPF_LDX | BPF_B | BPF_MSH, 0, 0, 0},
    {BPF_LD | BPF_H | BPF_IND, 0, 0, 0},
    {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, type_and_code},
    {BPF_RET | BPF_K, 0, 0, kept_bytes},
    {BPF_RET | BPF_K, 0, 0, 0},
};

// More wait for the next call, or are counted as dropped.
constexpr int most_taken = 4096;

// All that the socket holds.
std::uint64_t drain(const Fd& socket) {
  char byte = 0;
  std::uint64_t taken = 0;
  for (int i = 0; i < most_taken; ++i) {
    if (::recv(socket.get(), &byte, sizeof byte, MSG_DONTWAIT | MSG_TRUNC) < 0) break;
    ++taken;
  }
  return taken;
}

// What found no room in it, since it was opened (Linux 4.12).
std::uint64_t dropped(const Fd& socket) {
  std::array<std::uint32_t, SK_MEMINFO_VARS> memory{};
  socklen_t size = sizeof memory;
  if (::getsockopt(socket.get(), SOL_SOCKET, SO_MEMINFO, memory.data(), &size) != 0) return 0;
  return memory[SK_MEMINFO_DROPS];
}

}  // namespace

Result<Done> FragNeeded::open() {
  const auto refused = [](const char* what) {
    const bool denied = errno == EPERM || errno == EACCES;
    return Error{denied ? Errc::denied : Errc::io, errno,
                 denied ? "counting \"fragmentation needed\" needs CAP_NET_RAW" : what};
  };
  Fd socket(::socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_ICMP));
  if (!socket) return refused("ICMP socket");
  // Anything of another type is not even copied for the filter.
  const icmp_filter others{~(1u << ICMP_DEST_UNREACH)};
  if (::setsockopt(socket.get(), SOL_RAW, ICMP_FILTER, &others, sizeof others) != 0) {
    return refused("ICMP_FILTER");
  }
  auto filter = std::to_array(instructions);
  const sock_fprog program{filter.size(), filter.data()};
  if (::setsockopt(socket.get(), SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program) != 0) {
    return refused("SO_ATTACH_FILTER");
  }
  (void)drain(socket);  // what came before there was a filter
  socket_ = std::move(socket);
  return Done{};
}

Result<std::uint64_t> FragNeeded::read() {
  if (!socket_) {
    if (const auto opened = open(); !opened) return opened.error();
  }
  taken_ += drain(socket_);
  return taken_ + dropped(socket_);
}

}  // namespace wgvitals::kernel
