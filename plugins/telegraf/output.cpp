#include "plugins/telegraf/output.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdint>
#include <string_view>
#include <thread>

#include "common/base/fd.h"

namespace wgvitals::telegraf {

Output::Output()
    : flags_(::fcntl(STDOUT_FILENO, F_GETFL)), capacity_(::fcntl(STDOUT_FILENO, F_GETPIPE_SZ)) {
  (void)::fcntl(STDOUT_FILENO, F_SETFL, flags_ | O_NONBLOCK);
}

Output::~Output() { (void)::fcntl(STDOUT_FILENO, F_SETFL, flags_); }

void Output::clear() {
  lines_.clear();
  written_ = 0;
}

// What a write takes whole or not at all, so that a reader that stops, or our own sudden end,
// leaves no half line, which Telegraf would take for a whole one: a pipe PIPE_BUF bytes, or as much
// as it holds while it is empty (pipe(7), fs/pipe.c), a file everything.
std::size_t Output::whole_write() const {
  if (capacity_ < 0) return SIZE_MAX;
  int unread = 0;
  const bool empty = ::ioctl(STDOUT_FILENO, FIONREAD, &unread) == 0 && unread == 0;
  return empty ? std::max(static_cast<std::size_t>(capacity_), std::size_t{PIPE_BUF}) : PIPE_BUF;
}

// Only a line that is longer than that can be torn.
std::size_t Output::next_size() const {
  const auto rest = std::string_view(lines_).substr(written_);
  const auto size = whole_write();
  if (rest.size() <= size) return rest.size();
  const auto end = rest.rfind('\n', size - 1);
  return end != std::string_view::npos ? end + 1 : rest.find('\n') + 1;
}

Result<Done> Output::write() {
  while (pending()) {
    const auto size = ::write(STDOUT_FILENO, lines_.data() + written_, next_size());
    if (size >= 0) {
      written_ += static_cast<std::size_t>(size);
    } else if (errno == EAGAIN) {
      return Done{};
    } else if (errno != EINTR) {
      return Error{Errc::io, errno, "stdout"};
    }
  }
  return Done{};
}

void Output::finish(std::chrono::milliseconds wait) {
  const auto until = std::chrono::steady_clock::now() + wait;
  while (pending() && write() && pending()) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
    pollfd room{STDOUT_FILENO, POLLOUT, 0};
    if (left.count() <= 0 || ::poll(&room, 1, static_cast<int>(left.count())) == 0) break;
  }
  (void)::fcntl(STDOUT_FILENO, F_SETFL, flags_);
  // Closed, but the numbers stay taken: no file that is opened later gets our lines.
  const Fd nowhere(::open("/dev/null", O_WRONLY | O_CLOEXEC));
  for (const int stream : {STDOUT_FILENO, STDERR_FILENO}) {
    if (!nowhere || ::dup2(nowhere.get(), stream) < 0) (void)::close(stream);
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
}

}  // namespace wgvitals::telegraf
