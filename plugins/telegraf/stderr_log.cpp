#include "plugins/telegraf/stderr_log.h"

#include <poll.h>
#include <unistd.h>

#include <string>

#include "common/base/text.h"

namespace wgvitals::telegraf {
namespace {

constexpr std::size_t longest_line = 2000;  // with its prefix below PIPE_BUF: written whole or not
constexpr std::chrono::seconds window(10);
constexpr int most_in_window = 100;

std::string_view prefix_of(Level level) {
  switch (level) {
    case Level::error:
      return "E! ";
    case Level::warning:
      return "W! ";
    case Level::info:
      return "I! ";
    case Level::debug:
      return "D! ";
  }
  return "E! ";
}

// A pipe that polls as writable takes PIPE_BUF bytes at once (pipe(7)).
void write_unless_full(const std::string& line) {
  pollfd room{STDERR_FILENO, POLLOUT, 0};
  if (::poll(&room, 1, 0) != 1 || (room.revents & POLLOUT) == 0) return;
  (void)!::write(STDERR_FILENO, line.data(), line.size());
}

}  // namespace

void StderrLog::write(Level level, std::string_view line) {
  if (level == Level::debug) return;
  const std::lock_guard lock(mutex_);
  if (!may_write(std::chrono::steady_clock::now())) {
    ++dropped_;
    return;
  }
  if (dropped_ > 0) {
    write_unless_full("W! " + std::to_string(dropped_) + " messages were left out\n");
    dropped_ = 0;
  }
  std::string text(prefix_of(level));
  text += text::to_printable(line.substr(0, longest_line), ' ');
  text += '\n';
  write_unless_full(text);
}

bool StderrLog::may_write(std::chrono::steady_clock::time_point now) {
  if (now - window_ > window) {
    window_ = now;
    written_ = 0;
  }
  return ++written_ <= most_in_window;
}

}  // namespace wgvitals::telegraf
