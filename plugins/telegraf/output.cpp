#include "plugins/telegraf/output.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <string_view>
#include <thread>

#include "common/base/fd.h"

namespace wgvitals::telegraf {

Output::Output() : flags_(::fcntl(STDOUT_FILENO, F_GETFL)) {
  (void)::fcntl(STDOUT_FILENO, F_SETFL, flags_ | O_NONBLOCK);
}

Output::~Output() { (void)::fcntl(STDOUT_FILENO, F_SETFL, flags_); }

void Output::clear() {
  lines_.clear();
  written_ = 0;
}

// A pipe takes up to PIPE_BUF bytes whole or not at all (pipe(7)), so a reader that stops, or our
// own sudden end, leaves no half line, which Telegraf would take for a whole one. Only a line that
// is longer can be torn.
std::size_t Output::next_size() const {
  const auto rest = std::string_view(lines_).substr(written_);
  if (rest.size() <= PIPE_BUF) return rest.size();
  const auto whole = rest.rfind('\n', PIPE_BUF - 1);
  return whole != std::string_view::npos ? whole + 1 : rest.find('\n') + 1;
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
