#include "common/kernel/udp_sockets.h"

#include <arpa/inet.h>
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>
#include <string>
#include <utility>

#include "common/base/text.h"

namespace wgvitals::kernel {
namespace {

constexpr unsigned unconnected = TCP_CLOSE;  // a UDP socket's state: this, or TCP_ESTABLISHED

// The kernel grows the array at its end.
void take_memory(const nlattr& attribute, UdpSocket& socket) {
  std::array<std::uint32_t, SK_MEMINFO_VARS> memory{};
  const auto size = std::min(payload_size(attribute), sizeof memory);
  std::memcpy(memory.data(), payload(attribute), size);
  const auto numbers = size / sizeof memory[0];
  if (numbers > SK_MEMINFO_RCVBUF) socket.rcvbuf_bytes = memory[SK_MEMINFO_RCVBUF];
  if (numbers > SK_MEMINFO_DROPS) socket.drops = memory[SK_MEMINFO_DROPS];
}

// The columns of procfs; where the two names of a pair share a word, the first has it.
struct UdpColumns {
  std::size_t local = 0, state = 0, queues = 0, drops = 0;
};

std::optional<UdpColumns> to_columns(std::string_view names) {
  UdpColumns columns;
  std::size_t at = 0;
  while (const auto name = text::next_word(names)) {
    if (*name == "rx_queue" || *name == "tm->when") continue;  // behind a colon of the last
    if (*name == "local_address") columns.local = at;
    if (*name == "st") columns.state = at;
    if (*name == "tx_queue") columns.queues = at;
    if (*name == "drops") columns.drops = at;
    ++at;
  }
  // The first column is none of these, so 0 is "not found".
  if (columns.local == 0 || columns.state == 0 || columns.queues == 0) return std::nullopt;
  return columns;
}

// "0100007F:CA6C", "00000000:00000300": what is on each side of the last colon.
std::pair<std::string_view, std::string_view> halves(std::string_view word) {
  const auto colon = word.rfind(':');
  if (colon == std::string_view::npos) return {word, {}};
  return {word.substr(0, colon), word.substr(colon + 1)};
}

// false where the line is damaged.
bool parse_udp_line(std::string_view line, const UdpColumns& columns, const TakeUdpSocket& take) {
  UdpSocket socket;
  std::optional<std::uint8_t> state;
  bool port = false, queues = false;
  for (std::size_t at = 0;; ++at) {
    const auto word = text::next_word(line);
    if (!word) break;
    const auto [front, back] = halves(*word);
    if (at == columns.local) {
      const auto number = text::to_number<std::uint16_t>(back, 16);
      socket.port = number.value_or(0);
      port = number.has_value();
    } else if (at == columns.state) {
      state = text::to_number<std::uint8_t>(*word, 16);
    } else if (at == columns.queues) {
      const auto tx = text::to_number<std::uint32_t>(front, 16);
      const auto rx = text::to_number<std::uint32_t>(back, 16);
      socket.tx_queue_bytes = tx.value_or(0);
      socket.rx_queue_bytes = rx.value_or(0);
      queues = tx && rx;
    } else if (at != 0 && at == columns.drops) {
      socket.drops = text::to_number<std::uint64_t>(*word);
    }
  }
  if (!port || !state || !queues || (columns.drops != 0 && !socket.drops)) return false;
  if (*state == unconnected) take(socket);
  return true;
}

Result<Done> dump(Netlink& diag, int family, const TakeUdpSocket& take) {
  NetlinkRequest request(SOCK_DIAG_BY_FAMILY, NLM_F_DUMP);
  auto& question = request.extra_header<inet_diag_req_v2>();
  question.sdiag_family = static_cast<std::uint8_t>(family);
  question.sdiag_protocol = IPPROTO_UDP;
  question.idiag_ext = 1u << (INET_DIAG_SKMEMINFO - 1);
  question.idiag_states = 1u << unconnected;
  return diag.ask(request, [&](const nlmsghdr& message) -> Result<Done> {
    const auto socket = parse_udp_socket(message);
    if (!socket) return socket.error();
    take(*socket);
    return Done{};
  });
}

}  // namespace

Result<UdpSocket> parse_udp_socket(const nlmsghdr& message) {
  if (message.nlmsg_type != SOCK_DIAG_BY_FAMILY ||
      ::mnl_nlmsg_get_payload_len(&message) < sizeof(inet_diag_msg)) {
    return Error{Errc::malformed, 0, "sock_diag: not a socket's message"};
  }
  const auto& fixed = *static_cast<const inet_diag_msg*>(::mnl_nlmsg_get_payload(&message));
  UdpSocket socket;
  socket.port = ntohs(fixed.id.idiag_sport);
  socket.rx_queue_bytes = fixed.idiag_rqueue;
  socket.tx_queue_bytes = fixed.idiag_wqueue;
  const bool whole =
      for_each_attribute(::mnl_nlmsg_get_payload_offset(&message, sizeof(inet_diag_msg)),
                         ::mnl_nlmsg_get_payload_len(&message) - MNL_ALIGN(sizeof(inet_diag_msg)),
                         [&](const nlattr& attribute) {
                           if (type_of(attribute) == INET_DIAG_SKMEMINFO)
                             take_memory(attribute, socket);
                           return true;
                         });
  if (!whole) return Error{Errc::malformed, 0, "sock_diag: damaged attributes"};
  return socket;
}

Result<Done> parse_udp_table(std::string_view text, const TakeUdpSocket& take) {
  const auto names = text::next_line(text);
  const auto columns = names ? to_columns(*names) : std::nullopt;
  if (!columns) return Error{Errc::malformed, 0, "its first line names no queues"};
  while (const auto line = text::next_line(text)) {
    if (text::trim(*line).empty()) continue;
    if (!parse_udp_line(*line, *columns, take)) {
      return Error{Errc::malformed, 0, "a damaged line of a socket"};
    }
  }
  return Done{};
}

bool is_udp_diag_there(const Root& root) {
  const auto exists = [&](std::string_view path) {
    std::error_code error;
    return std::filesystem::exists(root.full_path(path), error);
  };
  if (exists("sys/module/udp_diag")) return true;
  // A kernel without modules has no list of them, and cannot load what it does not contain. But the
  // list may only be hidden, and then the rest of procfs is, too (its mount option subset=pid).
  if (exists("proc/stat") && !exists("proc/modules")) return true;
  const auto release = root.read("proc/sys/kernel/osrelease");
  if (!release) return false;
  const auto folder = "lib/modules/" + std::string(text::trim(*release));
  const auto built_in = root.read(folder + "/modules.builtin");
  return built_in && built_in->find("/udp_diag.ko") != std::string::npos;
}

Result<Done> read_udp_sockets(Netlink& diag, const TakeUdpSocket& take) {
  for (const int family : {AF_INET, AF_INET6}) {
    const auto dumped = dump(diag, family, take);
    // IPv6 may be left out of the kernel.
    if (!dumped && (family == AF_INET || dumped.error().code != Errc::absent)) {
      return dumped.error();
    }
  }
  return Done{};
}

Result<Done> read_udp_tables(NetFiles& files, const TakeUdpSocket& take) {
  bool any = false;
  for (const auto* name : {"udp", "udp6"}) {
    const auto text = files.read(name);
    if (!text && text.error().code == Errc::absent) continue;
    if (!text) return text.error();
    any = true;
    if (const auto parsed = parse_udp_table(*text, take); !parsed) {
      return Error{Errc::malformed, 0,
                   std::string("/proc/net/") + name + ": " + parsed.error().where};
    }
  }
  if (!any) return Error{Errc::absent, 0, "/proc/net/udp"};
  return Done{};
}

}  // namespace wgvitals::kernel
