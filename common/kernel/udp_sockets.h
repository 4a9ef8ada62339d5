// The UDP sockets of a network namespace: by sock_diag(7), or of /proc/net/udp and udp6. Those of
// WireGuard in the kernel are among them (drivers/net/wireguard/socket.c); what they receive never
// waits in their queue.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "common/base/files.h"
#include "common/base/result.h"
#include "common/kernel/module.h"
#include "common/kernel/net_files.h"
#include "common/kernel/netlink.h"

namespace wgvitals::kernel {

// One that is not connected: WireGuard's never are.
struct UdpSocket {
  std::uint16_t port = 0;
  std::uint64_t rx_queue_bytes = 0, tx_queue_bytes = 0;  // with the kernel's own overhead
  std::optional<std::uint64_t> rcvbuf_bytes;             // procfs does not tell it
  std::optional<std::uint64_t> drops;                    // Linux before 4.7: procfs only
  friend bool operator==(const UdpSocket&, const UdpSocket&) = default;
};

using TakeUdpSocket = std::function<void(const UdpSocket&)>;

// One SOCK_DIAG_BY_FAMILY message (include/uapi/linux/inet_diag.h).
Result<UdpSocket> parse_udp_socket(const nlmsghdr& message);

// The whole of /proc/net/udp or udp6, by the names of its first line:
//   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid ... drops
//   7: 0100007F:CA6C 00000000:0000 07 00000000:00000300 00:00000000 00000000     0 ... 12
Result<Done> parse_udp_table(std::string_view text, const TakeUdpSocket& take);

// Those of one port that take from every address, as WireGuard's do; of both families. A question
// about one costs the same however many sockets there are, a dump does not.
Result<Done> read_udp_port(Netlink& diag, std::uint16_t port, const TakeUdpSocket& take);

// All of both families. absent where there is neither file; a failure where there are so many that
// to read them again and again would cost too much, which `udp_diag` has advice for.
Result<Done> read_udp_tables(NetFiles& files, const KernelModule& udp_diag,
                             const TakeUdpSocket& take);

// The sockets of one port together. Empty: it has none.
struct UdpPort {
  std::uint16_t number = 0;
  std::optional<UdpSocket> sum;
};

// In ascending order, each once.
void sort_once(std::vector<UdpPort>& ports);

// Null: not one of these, which are in ascending order.
const UdpPort* find_port(std::span<const UdpPort> ports, std::uint16_t number);

// The sockets of one network namespace, by the best way there is.
class UdpSockets {
 public:
  // `netns` empty: our own. `udp_diag`: the module of this name. Both others outlive this.
  UdpSockets(const Root& root, KernelModule& udp_diag, const std::filesystem::path& netns);

  // Fills the sums of `ports`, which are in ascending order.
  Result<Done> read(std::span<UdpPort> ports);

 private:
  Result<bool> does_diag_answer();

  KernelModule& module_;
  Netlink diag_;
  std::optional<bool> answers_;  // empty: not known yet
  NetFiles files_;
};

}  // namespace wgvitals::kernel
