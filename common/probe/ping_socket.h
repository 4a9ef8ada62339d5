// Sockets for ICMP echo: a raw one, else the unprivileged kind that icmp(7) calls a ping socket.
// Facts: icmp(7), raw(7), net/ipv4/{raw,ping}.c, net/ipv6/raw.c.
#pragma once

#include <sys/socket.h>

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "common/base/fd.h"
#include "common/base/result.h"
#include "common/probe/echoes.h"
#include "common/probe/icmp.h"
#include "common/probe/pinger.h"

namespace wgvitals::probe {

struct PingSocket {
  Fd fd;
  AddressFamily family = AddressFamily::none;
  bool raw = false;
  std::uint16_t id = 0;         // of its echoes; on a ping socket the kernel writes its own
  std::uint32_t overflows = 0;  // packets that found its buffer full, since it was opened
};

// Non-blocking. Every option that the path asks for holds, or it is an error that names the remedy:
// denied without the right, io where the device, the source address or the namespace is missing.
Result<PingSocket> open_ping_socket(const PingPath& path, const InNamespace& in_namespace,
                                    std::uint16_t id);

// Whether it is bound to what has this name now: a device may have been made anew, or renamed.
bool is_bound_to(const PingSocket& socket, const std::string& device);

// Packets that leave in one system call. The head of each is written here; the filler is shared.
class PingBatch {
 public:
  // They share one stamp: when the thread is held up among many, all that follow have a wrong one.
  static constexpr std::size_t capacity = 16;

  PingBatch();

  void clear() { count_ = 0; }
  void put(const PingSocket& socket, const Echoes::Request& request);
  std::size_t count() const { return count_; }

  // From message `from` on. How many left, or the error that keeps that one.
  Result<std::size_t> send(const PingSocket& socket, std::size_t from);

 private:
  std::size_t count_ = 0;
  std::vector<std::uint8_t> filler_;
  std::array<std::array<std::uint8_t, echo_head_size>, capacity> heads_{};
  std::array<std::array<iovec, 2>, capacity> parts_{};
  std::array<sockaddr_storage, capacity> addresses_{};
  std::array<mmsghdr, capacity> messages_{};
};

struct ReceivedIcmp {
  IcmpMessage message;
  Endpoint from;
  std::uint8_t ttl = 0;       // 0: not known
  std::int64_t stamp_ns = 0;  // the kernel's, by the wall clock; 0: none
};

// What has come is read a batch at a time.
class PingInbox {
 public:
  static constexpr std::size_t capacity = 64;

  PingInbox();

  // What of it concerns this socket; valid until the next call. `more`: there may be more.
  std::span<const ReceivedIcmp> receive(PingSocket& socket, bool& more);

  // The same of the error queue. A raw socket has errors for other programs' packets there, too.
  std::span<const ReceivedIcmp> receive_errors(PingSocket& socket, bool& more);

 private:
  static constexpr std::size_t packet_size = 2048;  // what is longer is cut

  int receive(const PingSocket& socket, int flags);
  void take(PingSocket& socket, std::size_t at, bool from_error_queue);

  std::vector<std::array<std::uint8_t, packet_size>> packets_;
  std::array<iovec, capacity> parts_{};
  std::array<std::array<std::uint64_t, 32>, capacity> controls_{};
  std::array<sockaddr_storage, capacity> addresses_{};
  std::array<mmsghdr, capacity> messages_{};
  std::vector<ReceivedIcmp> received_;
};

}  // namespace wgvitals::probe
