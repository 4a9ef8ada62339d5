#include "plugins/cli/publish.h"

#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>

#include "common/base/fd.h"
#include "common/base/files.h"

namespace wgvitals::cli {
namespace {

using Clock = std::chrono::steady_clock;

// A file.

std::string_view remedy(int number) {
  switch (number) {
    case ENOENT:
    case ENOTDIR:
      return "make its folder, or name another";
    case EACCES:
    case EPERM:
      return "this user may not write into its folder";
    case EROFS:
      return "its folder is read-only here (in a systemd unit: ReadWritePaths=)";
    case ENOSPC:
    case EDQUOT:
      return "make room on its disk";
    default:
      return "look at its folder";
  }
}

Error not_written(const std::filesystem::path& path, int number) {
  return {errc_of_file(number), number,
          path.string() + " is not written, an old file stays; " + std::string(remedy(number))};
}

bool write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const auto size = ::write(fd, text.data(), text.size());
    if (size < 0 && errno != EINTR) return false;
    if (size > 0) text.remove_prefix(static_cast<std::size_t>(size));
  }
  return true;
}

// 0, or the system's number of what went wrong.
int fill(int fd, std::string_view text) {
  int number = write_all(fd, text) && ::fchmod(fd, 0644) == 0 ? 0 : errno;
  // Some file systems tell a full disk only now.
  if (::close(fd) != 0 && number == 0) number = errno;
  return number;
}

// A connection.

Error not_sent(const Endpoint& to, int number, std::string_view why) {
  return {number == ETIMEDOUT ? Errc::timed_out : Errc::io, number,
          to_text(to) + ": this gather is dropped, the next is tried anew; " + std::string(why)};
}

// false: nothing came of it until then.
bool ready(const Fd& socket, short events, Clock::time_point until) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - Clock::now());
  pollfd wanted{socket.get(), events, 0};
  return ::poll(&wanted, 1, std::max(0, static_cast<int>(left.count()))) > 0;
}

// The socket, or a number of errno's.
std::variant<Fd, int> connect_one(const addrinfo& address, Clock::time_point until) {
  Fd socket(::socket(address.ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket) return errno;
  if (::connect(socket.get(), address.ai_addr, address.ai_addrlen) == 0) return socket;
  if (errno != EINPROGRESS) return errno;
  if (!ready(socket, POLLOUT, until)) return ETIMEDOUT;
  int number = 0;
  socklen_t size = sizeof number;
  (void)::getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &number, &size);
  if (number != 0) return number;
  return socket;
}

// The first of the host's addresses that takes the connection; each has its share of the time.
Result<Fd> connect_any(const Endpoint& to, Clock::time_point until) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const auto port = std::to_string(to.port);
  const int failure = ::getaddrinfo(to.host.c_str(), port.c_str(), &hints, &found);
  if (failure != 0) return not_sent(to, 0, ::gai_strerror(failure));
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> addresses(found, ::freeaddrinfo);
  int left = 0;
  for (const auto* address = found; address != nullptr; address = address->ai_next) ++left;
  int number = 0;
  for (const auto* address = found; address != nullptr; address = address->ai_next) {
    const auto now = Clock::now();
    auto tried = connect_one(*address, now + (until - now) / left--);
    if (auto* socket = std::get_if<Fd>(&tried)) return std::move(*socket);
    number = std::get<int>(tried);
  }
  return not_sent(to, number, "no carbon answers, or a firewall is between");
}

}  // namespace

Result<Done> check_place(const std::filesystem::path& path) {
  std::error_code failure;
  const auto folder = path.parent_path();
  if (!folder.empty() && !std::filesystem::is_directory(folder, failure)) {
    return not_written(path, failure ? failure.value() : ENOTDIR);
  }
  const auto there = std::filesystem::symlink_status(path, failure);
  if (std::filesystem::exists(there) && !std::filesystem::is_regular_file(there)) {
    return Error{Errc::malformed, 0,
                 path.string() + " is no plain file, and would be replaced by one"};
  }
  return Done{};
}

Result<Done> replace_file(const std::filesystem::path& path, std::string_view text) {
  std::string temporary = path.parent_path() / ("." + path.filename().string() + ".XXXXXX");
  const int fd = ::mkostemp(temporary.data(), O_CLOEXEC);
  if (fd < 0) return not_written(path, errno);
  int number = fill(fd, text);
  if (number == 0 && ::rename(temporary.c_str(), path.c_str()) != 0) number = errno;
  if (number == 0) return Done{};
  (void)::unlink(temporary.c_str());
  return not_written(path, number);
}

Result<Done> send_lines(const Endpoint& to, std::string_view lines,
                        std::chrono::milliseconds patience) {
  const auto until = Clock::now() + patience;
  const auto connected = connect_any(to, until);
  if (!connected) return connected.error();
  const auto& socket = connected.value();
  while (!lines.empty()) {
    const auto size = ::send(socket.get(), lines.data(), lines.size(), MSG_NOSIGNAL);
    if (size >= 0) {
      lines.remove_prefix(static_cast<std::size_t>(size));
    } else if (errno != EAGAIN) {
      return not_sent(to, errno, "the connection broke");
    } else if (!ready(socket, POLLOUT, until)) {
      return not_sent(to, ETIMEDOUT, "carbon does not read");
    }
  }
  (void)::shutdown(socket.get(), SHUT_WR);
  while (true) {
    char answer[64];
    const auto size = ::recv(socket.get(), answer, sizeof answer, 0);
    if (size == 0) return Done{};
    if (size < 0 && errno != EAGAIN) return not_sent(to, errno, "the connection broke");
    if (!ready(socket, POLLIN, until)) {
      return Error{Errc::timed_out, 0,
                   to_text(to) +
                       ": carbon took this gather, but did not read it to its end within " +
                       std::to_string(patience.count()) + " ms; it may be lost"};
    }
  }
}

}  // namespace wgvitals::cli
