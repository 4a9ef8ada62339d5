// UDP sockets of sock_diag and of /proc/net/udp: any bytes, and both written from the fuzzer's
// numbers, which must give these numbers back.

#include "common/kernel/udp_sockets.h"

#include <arpa/inet.h>
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>

#include <array>
#include <cstdio>
#include <optional>
#include <string>

#include "tests/fuzz/bytes.h"
#include "tests/fuzz/check.h"
#include "tests/fuzz/messages.h"
#include "tests/support/netlink_messages.h"

namespace wgvitals::fuzz {
namespace {

using kernel::UdpSocket;

void parse_built_message(Bytes in) {
  UdpSocket socket;
  socket.port = in.number<std::uint16_t>();
  socket.rx_queue_bytes = in.number<std::uint32_t>();
  socket.tx_queue_bytes = in.number<std::uint32_t>();
  inet_diag_msg fixed{};
  fixed.id.idiag_sport = htons(socket.port);
  fixed.idiag_rqueue = static_cast<std::uint32_t>(socket.rx_queue_bytes);
  fixed.idiag_wqueue = static_cast<std::uint32_t>(socket.tx_queue_bytes);
  test::MessageBuilder builder(SOCK_DIAG_BY_FAMILY);
  builder.fixed(fixed);
  const auto memory = in.number<std::array<std::uint32_t, SK_MEMINFO_VARS + 2>>();
  const auto size = in.below(sizeof memory + 1);  // the kernel grows it
  if (in.flag()) {
    builder.put_bytes(INET_DIAG_SKMEMINFO, memory.data(), size);
    if (size >= 8) socket.rcvbuf_bytes = memory[SK_MEMINFO_RCVBUF];
    if (size >= 36) socket.drops = memory[SK_MEMINFO_DROPS];
  }
  if (in.flag()) builder.put_text(INET_DIAG_CONG, "reno");
  const auto message = builder.message();
  const auto parsed = kernel::parse_udp_socket(test::header_of(message));
  check(parsed && *parsed == socket, "the message gives what was built");
}

void parse_built_table(Bytes in) {
  UdpSocket socket;
  socket.port = in.number<std::uint16_t>();
  socket.rx_queue_bytes = in.number<std::uint32_t>();
  socket.tx_queue_bytes = in.number<std::uint32_t>();
  socket.drops = in.number<std::uint32_t>();
  char line[200];
  static_cast<void>(std::snprintf(
      line, sizeof line, "7: %08X:%04X 00000000:0000 %02X %08X:%08X 00:00000000 00000000 0 %u\n",
      in.number<std::uint32_t>(), socket.port, 7u, static_cast<unsigned>(socket.tx_queue_bytes),
      static_cast<unsigned>(socket.rx_queue_bytes), static_cast<unsigned>(*socket.drops)));
  const std::string names =
      "sl local_address rem_address st tx_queue rx_queue tr tm->when retrnsmt uid drops\n";
  std::optional<UdpSocket> seen;
  const auto parsed = kernel::parse_udp_table(names + line, [&](auto& one) { seen = one; });
  check(parsed && seen == socket, "the table gives what was written");
}

}  // namespace
}  // namespace wgvitals::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace wgvitals;
  fuzz::for_each_message(data, size,
                         [](const nlmsghdr& message) { (void)kernel::parse_udp_socket(message); });
  const std::string text(reinterpret_cast<const char*>(data), size);
  (void)kernel::parse_udp_table(text, [](const kernel::UdpSocket&) {});
  fuzz::parse_built_message(fuzz::Bytes(data, size));
  fuzz::parse_built_table(fuzz::Bytes(data, size));
  return 0;
}
