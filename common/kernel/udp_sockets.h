// The UDP sockets of a network namespace: by sock_diag(7), or of /proc/net/udp and udp6. Those of
// WireGuard in the kernel are among them (drivers/net/wireguard/socket.c); what they receive never
// waits in their queue.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>

#include "common/base/files.h"
#include "common/base/result.h"
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

// May sock_diag be asked? A question about UDP makes the kernel load udp_diag where that is a
// module, and reading loads none.
bool is_udp_diag_there(const Root& root);

// Both families, a dump each, over a socket of NETLINK_SOCK_DIAG.
Result<Done> read_udp_sockets(Netlink& diag, const TakeUdpSocket& take);

// Both families. absent where there is neither file.
Result<Done> read_udp_tables(NetFiles& files, const TakeUdpSocket& take);

}  // namespace wgvitals::kernel
