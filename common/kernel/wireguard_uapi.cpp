#include "common/kernel/wireguard_uapi.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <vector>

#include "common/base/files.h"
#include "common/base/text.h"
#include "common/kernel/link.h"

namespace wgvitals::kernel {
namespace {

constexpr std::string_view question = "get=1\n\n";
constexpr std::string_view suffix = ".sock";
constexpr std::size_t most_bytes = 64 << 20;  // wireguard-go's 65,536 peers take half of it
constexpr std::chrono::seconds first_pause(5);
constexpr std::chrono::seconds longest_pause(300);

bool parse_address(std::string_view text, AddressFamily& family,
                   std::array<std::uint8_t, 16>& address) {
  char terminated[INET6_ADDRSTRLEN] = {};
  if (text.size() >= sizeof terminated) return false;
  text.copy(terminated, text.size());
  if (::inet_pton(AF_INET, terminated, address.data()) == 1) {
    family = AddressFamily::ipv4;
    return true;
  }
  if (::inet_pton(AF_INET6, terminated, address.data()) != 1) return false;
  family = AddressFamily::ipv6;
  return true;
}

// "192.0.2.1:51820" or "[fe80::1%2]:51820"; a scope that is no number is passed over.
bool parse_endpoint(std::string_view text, Endpoint& endpoint) {
  const auto colon = text.rfind(':');
  if (colon == std::string_view::npos) return false;
  const auto port = text::to_number<std::uint16_t>(text.substr(colon + 1));
  auto host = text.substr(0, colon);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  }
  if (const auto percent = host.find('%'); percent != std::string_view::npos) {
    endpoint.scope = text::to_number<std::uint32_t>(host.substr(percent + 1)).value_or(0);
    host = host.substr(0, percent);
  }
  if (!port || !parse_address(host, endpoint.family, endpoint.address)) return false;
  endpoint.port = *port;
  return true;
}

std::optional<Prefix> parse_prefix(std::string_view text) {
  Prefix prefix;
  const auto slash = text.find('/');
  if (!parse_address(text.substr(0, slash), prefix.family, prefix.address)) return std::nullopt;
  const std::uint8_t longest = prefix.family == AddressFamily::ipv4 ? 32 : 128;
  prefix.length = longest;
  if (slash == std::string_view::npos) return prefix;
  const auto length = text::to_number<std::uint8_t>(text.substr(slash + 1));
  if (!length || *length > longest) return std::nullopt;
  prefix.length = *length;
  return prefix;
}

template <class Number>
bool get_number(std::string_view text, Number& number) {
  const auto parsed = text::to_number<Number>(text);
  if (parsed) number = *parsed;
  return parsed.has_value();
}

bool get_fwmark(std::string_view text, std::uint32_t& mark) {
  if (!text.starts_with("0x")) return get_number(text, mark);
  const auto parsed = text::to_number<std::uint32_t>(text.substr(2), 16);
  if (parsed) mark = *parsed;
  return parsed.has_value();
}

Result<Done> right(bool is_right, std::string_view name) {
  if (is_right) return Done{};
  return Error{Errc::malformed, 0, "value of " + std::string(name)};
}

Error no_answer(const std::string& device) {
  return {Errc::timed_out, 0,
          device +
              ": its process does not answer: is it hung? (asked again later, at longer and "
              "longer intervals)"};
}

// As recv(2), and whose process sent it. SO_PEERCRED would name the one that began to listen, which
// is over by now where wireguard-go went into the background.
ssize_t receive_from(int socket, std::span<std::byte> bytes, std::uint32_t& process) {
  alignas(cmsghdr) std::byte control[CMSG_SPACE(sizeof(ucred))];
  iovec vector{bytes.data(), bytes.size()};
  msghdr message{};
  message.msg_iov = &vector;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  const auto size = ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  if (size <= 0) return size;
  for (auto* one = CMSG_FIRSTHDR(&message); one != nullptr; one = CMSG_NXTHDR(&message, one)) {
    if (one->cmsg_level != SOL_SOCKET || one->cmsg_type != SCM_CREDENTIALS) continue;
    ucred credentials{};
    std::memcpy(&credentials, CMSG_DATA(one), sizeof credentials);
    process = credentials.pid > 0 ? static_cast<std::uint32_t>(credentials.pid) : 0;
  }
  return size;
}

struct CloseFolder {
  void operator()(DIR* folder) const { ::closedir(folder); }
};

}  // namespace

Result<Done> UapiParser::take(std::string_view line) {
  const auto equals = line.find('=');
  if (equals == std::string_view::npos) {
    if (line.empty()) return Done{};
    return Error{Errc::malformed, 0, "its answer has a line without '='"};
  }
  const auto name = line.substr(0, equals);
  const auto value = line.substr(equals + 1);
  if (name == "errno") {
    ended_ = true;
    if (value == "0") return Done{};
    return Error{Errc::io, 0,
                 "the device answers errno=" + text::to_printable(value.substr(0, 16))};
  }
  if (name == "listen_port") return right(get_number(value, device_.listen_port), name);
  if (name == "fwmark") return right(get_fwmark(value, device_.fwmark), name);
  if (name == "own_public_key") {
    device_.handshakes_are_ages = true;  // only boringtun says it
    device_.key = key_from_hex(value);
    return right(device_.key.has_value(), name);
  }
  if (name == "private_key" && to_public_ != nullptr) return take_private_key(value);
  if (name == "public_key") {
    const auto key = key_from_hex(value);
    if (!key) return right(false, name);
    auto& peer = out_.peers.emplace_back();
    peer.key = *key;
    peer.first_prefix = static_cast<std::uint32_t>(out_.prefixes.size());
    ++device_.peer_count;
    return Done{};
  }
  return device_.peer_count > 0 ? take_peer_value(name, value) : Result<Done>(Done{});
}

Result<Done> UapiParser::take_private_key(std::string_view value) {
  const SecretBuffer buffer(32);
  const std::span<std::uint8_t, 32> key(reinterpret_cast<std::uint8_t*>(buffer.bytes().data()), 32);
  bool whole = value.size() == 2 * key.size();
  for (std::size_t i = 0; whole && i < key.size(); ++i) {
    const auto byte = text::to_number<std::uint8_t>(value.substr(2 * i, 2), 16);
    whole = byte.has_value();
    key[i] = byte.value_or(0);
  }
  if (whole) device_.key = (*to_public_)(key);
  return right(whole, "private_key");
}

Result<Done> UapiParser::take_peer_value(std::string_view name, std::string_view value) {
  constexpr std::int64_t second = 1'000'000'000;
  auto& peer = out_.peers.back();
  if (name == "preshared_key") {
    peer.preshared_key_set = value.find_first_not_of('0') != std::string_view::npos;
    return Done{};
  }
  if (name == "endpoint") return right(parse_endpoint(value, peer.endpoint), name);
  if (name == "rx_bytes") return right(get_number(value, peer.rx_bytes), name);
  if (name == "tx_bytes") return right(get_number(value, peer.tx_bytes), name);
  if (name == "protocol_version") return right(get_number(value, peer.protocol_version), name);
  if (name == "persistent_keepalive_interval") {
    return right(get_number(value, peer.keepalive_s), name);
  }
  if (name == "last_handshake_time_sec") {
    std::int64_t seconds = 0;
    if (!get_number(value, seconds) || seconds < 0 || seconds > INT64_MAX / second - 1) {
      return right(false, name);
    }
    peer.handshake_ns = seconds * second + peer.handshake_ns % second;
    peer.has_handshake = peer.handshake_ns > 0;
    return Done{};
  }
  if (name == "last_handshake_time_nsec") {
    std::int64_t nanoseconds = 0;
    if (!get_number(value, nanoseconds) || nanoseconds < 0 || nanoseconds >= second) {
      return right(false, name);
    }
    peer.handshake_ns += nanoseconds - peer.handshake_ns % second;
    peer.has_handshake = peer.handshake_ns > 0;
    return Done{};
  }
  if (name == "allowed_ip") {
    const auto prefix = parse_prefix(value);
    if (!prefix) return right(false, name);
    out_.prefixes.push_back(*prefix);
    ++peer.prefix_count;
  }
  return Done{};
}

void UserspaceWireGuard::read(const Selection& interfaces, Devices& out, Report& report) {
  if (const auto listed = list_sockets(interfaces, report); !listed) {
    for (const auto& [name, conversation] : conversations_) {
      out.unread.push_back(conversation.device.identity);
    }
    report.failed(listed.error());
    return;
  }
  converse();
  for (auto& [name, conversation] : conversations_) {
    if (conversation.failure) {
      // Where nobody listens any more the process is gone, and with it the device.
      if (conversation.failure->number != ECONNREFUSED) {
        out.unread.push_back(conversation.device.identity);
      }
      report.failed(*conversation.failure);
      continue;
    }
    auto& device = conversation.device;
    device.first_peer = static_cast<std::uint32_t>(out.peers.size());
    const auto first_prefix = static_cast<std::uint32_t>(out.prefixes.size());
    for (auto peer : conversation.seen.peers) {
      peer.first_prefix += first_prefix;
      out.peers.push_back(peer);
    }
    out.prefixes.insert(out.prefixes.end(), conversation.seen.prefixes.begin(),
                        conversation.seen.prefixes.end());
    out.devices.push_back(device);
  }
}

// Begins a conversation with each wanted socket that is there, and forgets those that are gone.
Result<Done> UserspaceWireGuard::list_sockets(const Selection& interfaces, Report& report) {
  for (auto& [name, conversation] : conversations_) conversation.present = false;
  const std::unique_ptr<DIR, CloseFolder> folder(::opendir(folder_.c_str()));
  if (!folder && errno != ENOENT && errno != ENOTDIR) {
    const int number = errno;
    const auto code = errc_of_file(number);
    const auto* need = code == Errc::denied ? "userspace sockets need root: " : "";
    return Error{code, number, need + folder_.string()};
  }
  while (const dirent* entry = folder ? ::readdir(folder.get()) : nullptr) {
    std::string_view name = entry->d_name;
    if (!name.ends_with(suffix) || name.size() == suffix.size()) continue;
    name.remove_suffix(suffix.size());
    struct stat status {};
    const auto path = folder_ / entry->d_name;
    if (::lstat(path.c_str(), &status) != 0 || !S_ISSOCK(status.st_mode)) continue;
    if (!interfaces.wants(name) || !is_tellable(name, report)) continue;
    const auto known = conversations_.try_emplace(std::string(name)).first;
    auto& conversation = known->second;
    conversation.present = true;
    if (conversation.inode != status.st_ino) conversation.pause = {};  // another process
    conversation.inode = status.st_ino;
    conversation.device = {};
    conversation.device.name = known->first;
    begin(path, conversation);
  }
  std::erase_if(conversations_, [](const auto& entry) { return !entry.second.present; });
  return Done{};
}

void UserspaceWireGuard::begin(const std::string& path, Conversation& conversation) {
  conversation.device.userspace = true;
  conversation.device.identity = {conversation.inode, 0};
  conversation.seen.clear();
  conversation.parser.reset();
  conversation.held = conversation.received = 0;
  conversation.socket = Fd();
  if (conversation.pause > Clock::duration::zero() && Clock::now() < conversation.asleep_until) {
    return;  // its failure stands
  }
  conversation.failure.reset();

  const auto fail = [&](Errc code, int number, std::string why) {
    conversation.failure = Error{code, number, std::move(why)};
  };
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return fail(Errc::io, ENAMETOOLONG, path);
  path.copy(address.sun_path, path.size());
  Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) return fail(Errc::io, errno, path);
  constexpr int on = 1;
  (void)::setsockopt(socket.get(), SOL_SOCKET, SO_PASSCRED, &on, sizeof on);
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      ::send(socket.get(), question.data(), question.size(), MSG_NOSIGNAL) !=
          static_cast<ssize_t>(question.size())) {
    const int number = errno;
    if (number == EACCES || number == EPERM) {
      return fail(Errc::denied, number, "userspace sockets need root: " + path);
    }
    if (number == ECONNREFUSED) {
      return fail(Errc::io, number, path + ": nobody listens (left over by a process that died?)");
    }
    if (number == EAGAIN) {  // its queue of connections is full
      conversation.failure = no_answer(conversation.device.name);
      return leave_alone(conversation);
    }
    return fail(Errc::io, number, path);
  }
  conversation.parser.emplace(conversation.device, conversation.seen,
                              to_public_ ? &to_public_ : nullptr);
  conversation.socket = std::move(socket);
}

// Until every answer is whole, or the one deadline is over.
void UserspaceWireGuard::converse() {
  const auto until = Clock::now() + deadline_;
  std::vector<pollfd> waiting;
  std::vector<Conversation*> owners;
  while (true) {
    waiting.clear();
    owners.clear();
    for (auto& [name, conversation] : conversations_) {
      if (!conversation.socket) continue;
      waiting.push_back({conversation.socket.get(), POLLIN, 0});
      owners.push_back(&conversation);
    }
    if (waiting.empty()) return;
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - Clock::now());
    if (left.count() <= 0) break;
    const auto ready = ::poll(waiting.data(), waiting.size(), static_cast<int>(left.count()));
    if (ready <= 0) continue;
    for (std::size_t i = 0; i < waiting.size(); ++i) {
      if (waiting[i].revents != 0) receive(*owners[i]);
    }
  }
  for (auto& [name, conversation] : conversations_) {
    if (!conversation.socket) continue;
    conversation.socket = Fd();
    conversation.buffer.wipe();
    conversation.failure =
        conversation.received == 0
            ? no_answer(name)
            : Error{Errc::timed_out, 0,
                    name + ": its answer was not whole in " + std::to_string(deadline_.count()) +
                        " ms (asked again later, at longer and longer intervals)"};
    leave_alone(conversation);
  }
}

void UserspaceWireGuard::leave_alone(Conversation& conversation) {
  conversation.pause =
      std::clamp<Clock::duration>(conversation.pause * 2, first_pause, longest_pause);
  conversation.asleep_until = Clock::now() + conversation.pause;
}

void UserspaceWireGuard::receive(Conversation& conversation) {
  const auto bytes = conversation.buffer.bytes();
  const auto fail = [&](Error error) {
    error.where = conversation.device.name + ": " + error.where;
    conversation.failure = std::move(error);
    conversation.socket = Fd();
  };
  const auto size = receive_from(conversation.socket.get(), bytes.subspan(conversation.held),
                                 conversation.device.process);
  if (size < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (size <= 0) {
    conversation.buffer.wipe();
    return fail({Errc::io, size < 0 ? errno : 0, "the answer broke off"});
  }
  conversation.received += static_cast<std::size_t>(size);
  conversation.held += static_cast<std::size_t>(size);
  const auto filled = conversation.held;
  const auto taken = take_lines(conversation);
  // What was taken is wiped; the unfinished line is at the front.
  ::explicit_bzero(bytes.data() + conversation.held, filled - conversation.held);
  if (!taken) {
    conversation.buffer.wipe();
    if (conversation.received > most_bytes) leave_alone(conversation);
    return fail(taken.error());
  }
  if (conversation.parser->ended()) {
    conversation.buffer.wipe();
    conversation.socket = Fd();
    conversation.pause = {};
  }
}

Result<Done> UserspaceWireGuard::take_lines(Conversation& conversation) {
  auto* const text = reinterpret_cast<char*>(conversation.buffer.bytes().data());
  std::size_t start = 0;
  Result<Done> outcome = Done{};
  while (outcome && !conversation.parser->ended()) {
    const auto* end =
        static_cast<const char*>(std::memchr(text + start, '\n', conversation.held - start));
    if (end == nullptr) break;
    const auto stop = static_cast<std::size_t>(end - text);
    outcome = conversation.parser->take({text + start, stop - start});
    start = stop + 1;
  }
  move_secret(text, text + start, conversation.held - start);
  conversation.held -= start;
  if (!outcome) return outcome;
  if (conversation.held == conversation.buffer.bytes().size()) {
    return Error{Errc::malformed, 0, "a line that does not end"};
  }
  if (conversation.received > most_bytes) {
    return Error{Errc::malformed, 0, "an endless answer, 64 MiB so far (asked again later)"};
  }
  return Done{};
}

}  // namespace wgvitals::kernel
