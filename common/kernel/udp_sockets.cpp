#include "common/kernel/udp_sockets.h"

#include <arpa/inet.h>
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "common/base/text.h"
#include "common/kernel/namespace.h"
#include "common/kernel/wireguard.h"

namespace wgvitals::kernel {
namespace {

constexpr std::size_t largest_table = 256 << 10;  // about 2000 sockets, and 2 ms
constexpr unsigned unconnected = TCP_CLOSE;       // a UDP socket's state: this, or TCP_ESTABLISHED

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

NetlinkRequest udp_request(std::uint16_t flags, int family, unsigned states,
                           const inet_diag_sockid& which) {
  NetlinkRequest request(SOCK_DIAG_BY_FAMILY, flags);
  auto& question = request.extra_header<inet_diag_req_v2>();
  question.sdiag_family = static_cast<std::uint8_t>(family);
  question.sdiag_protocol = IPPROTO_UDP;
  question.idiag_ext = 1u << (INET_DIAG_SKMEMINFO - 1);
  question.idiag_states = states;
  question.id = which;
  return request;
}

template <class Number>
void add(std::optional<Number>& sum, const std::optional<Number>& more) {
  if (more) sum = sum.value_or(0) + *more;
}

void add(UdpPort& port, const UdpSocket& socket) {
  auto& sum = port.sum ? *port.sum : port.sum.emplace();
  sum.port = socket.port;
  sum.rx_queue_bytes += socket.rx_queue_bytes;
  sum.tx_queue_bytes += socket.tx_queue_bytes;
  add(sum.rcvbuf_bytes, socket.rcvbuf_bytes);
  add(sum.drops, socket.drops);
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

Result<Done> read_udp_port(Netlink& diag, std::uint16_t port, const TakeUdpSocket& take) {
  for (const int family : {AF_INET, AF_INET6}) {
    // The kernel looks for who takes what comes to this port, and has exchanged the ends in some
    // versions and not in others (net/ipv4/udp_diag.c, udp_dump_one).
    inet_diag_sockid which{};
    which.idiag_sport = which.idiag_dport = htons(port);
    which.idiag_cookie[0] = which.idiag_cookie[1] = INET_DIAG_NOCOOKIE;
    auto request = udp_request(0, family, 1u << unconnected, which);
    const auto asked = diag.ask(request, [&](const nlmsghdr& message) -> Result<Done> {
      const auto socket = parse_udp_socket(message);
      if (!socket) return socket.error();
      // One of IPv6 may take IPv4's packets, too: it is told as the answer for its own.
      const auto& fixed = *static_cast<const inet_diag_msg*>(::mnl_nlmsg_get_payload(&message));
      if (fixed.idiag_family == family) take(*socket);
      return Done{};
    });
    // IPv6 may be left out of the kernel.
    const bool none = !asked && (asked.error().code == Errc::absent ||
                                 (family == AF_INET6 && asked.error().number == EINVAL));
    if (!asked && !none) return asked.error();
  }
  return Done{};
}

Result<Done> read_udp_tables(NetFiles& files, const KernelModule& udp_diag,
                             const TakeUdpSocket& take) {
  bool any = false;
  for (const auto* name : {"udp", "udp6"}) {
    const auto text = files.read(name, largest_table);
    if (!text && text.error().code == Errc::absent) continue;
    if (!text && text.error().code == Errc::malformed) {
      return Error{Errc::io, 0,
                   std::string("/proc/net/") + name + " has too many to be read every time; " +
                       udp_diag.advice()};
    }
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

void sort_once(std::vector<UdpPort>& ports) {
  std::ranges::sort(ports, {}, &UdpPort::number);
  const auto same = [](const auto& a, const auto& b) { return a.number == b.number; };
  ports.erase(std::unique(ports.begin(), ports.end(), same), ports.end());
}

const UdpPort* find_port(std::span<const UdpPort> ports, std::uint16_t number) {
  const auto found = std::ranges::lower_bound(ports, number, {}, &UdpPort::number);
  return found != ports.end() && found->number == number ? &*found : nullptr;
}

UdpSockets::UdpSockets(const Root& root, KernelModule& udp_diag, const std::filesystem::path& netns)
    : module_(udp_diag),
      diag_(netns.empty() ? WireGuardReader::open_own_netlink() : open_netlink_in(netns),
            NETLINK_SOCK_DIAG),
      files_(root, netns) {}

Result<Done> UdpSockets::read(std::span<UdpPort> ports) {
  for (auto& port : ports) port.sum.reset();
  if (module_.look() != KernelModule::State::there) {
    answers_.reset();
  } else if (answers_.value_or(true)) {
    for (auto& port : ports) {
      auto asked = read_udp_port(diag_, port.number, [&](const auto& one) { add(port, one); });
      if (!asked) return asked;
    }
    const bool any = std::ranges::any_of(ports, [](const auto& port) { return !!port.sum; });
    auto answered = any || answers_ ? Result<bool>(true) : does_diag_answer();
    if (!answered) return answered.error();
    answers_ = *answered;
    if (*answers_) return Done{};
  }
  return read_udp_tables(files_, module_, [&](const UdpSocket& socket) {
    const auto* port = find_port(ports, socket.port);
    if (port != nullptr) add(ports[static_cast<std::size_t>(port - ports.data())], socket);
  });
}

// A port without a socket is answered as a kernel without udp_diag answers, which a kernel without
// modules may be; a dump is not. This one goes through all sockets and tells none.
Result<bool> UdpSockets::does_diag_answer() {
  auto request = udp_request(NLM_F_DUMP, AF_INET, 0, {});
  const auto asked = diag_.ask(request, [](const nlmsghdr&) { return Done{}; });
  if (!asked && asked.error().code != Errc::absent) return asked.error();
  return asked.has_value();
}

}  // namespace wgvitals::kernel
