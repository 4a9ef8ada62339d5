// wgvitals-execd: an external plugin of Telegraf, run by its inputs.execd.

#include <poll.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <exception>
#include <memory>
#include <system_error>

#include "common/base/capabilities.h"
#include "common/base/fd.h"
#include "common/collect/engine.h"
#include "common/config/load.h"
#include "common/output/line_protocol.h"
#include "plugins/telegraf/arguments.h"
#include "plugins/telegraf/output.h"
#include "plugins/telegraf/stderr_log.h"

namespace wgvitals::telegraf {
namespace {

using namespace std::chrono_literals;

constexpr auto first_wait = 3000ms;   // `telegraf --test` asks once
constexpr auto finish_wait = 3000ms;  // Telegraf sends SIGTERM 5 s after it closed stdin
constexpr auto hint_after = 60s;

constexpr const char* usage =
    "wgvitals-execd: WireGuard's vital signs for Telegraf\n"
    "\n"
    "  -config FILE              options in TOML, [[inputs.wgvitals]]\n"
    "  -poll_interval TIME       gather by an own clock, too (\"10s\")\n"
    "  -poll_interval_disabled   only when asked\n"
    "\n"
    "A line on stdin, SIGHUP, SIGUSR1 or SIGUSR2 asks for one gather; the end of stdin stops it.\n"
    "See wgvitals-execd(1).\n";

// The signals that are read from a descriptor; blocked as the first act, because Telegraf's first
// one may come at once.
sigset_t block_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGUSR2}) sigaddset(&signals, signal);
  (void)::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  (void)std::signal(SIGPIPE, SIG_IGN);
  return signals;
}

// Without it nothing would be asked, or no signal would end the program.
Fd needed(int fd, const char* what) {
  if (fd < 0) throw std::system_error(errno, std::generic_category(), what);
  return Fd(fd);
}

Fd make_ticker(std::chrono::milliseconds interval) {
  Fd timer = needed(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK), "timerfd");
  itimerspec times{};
  times.it_interval.tv_sec = interval.count() / 1000;
  times.it_interval.tv_nsec = interval.count() % 1000 * 1'000'000;
  times.it_value = times.it_interval;
  (void)::timerfd_settime(timer.get(), 0, &times, nullptr);
  return timer;
}

config::Settings load(const Arguments& arguments, Log& log) {
  for (const auto& problem : arguments.problems) log.error(problem);
  if (!arguments.config || arguments.config->empty()) {
    return config::Settings(collect::schema());
  }
  auto loaded =
      config::load_toml(Root(), std::filesystem::absolute(*arguments.config), collect::schema());
  for (const auto& failure : loaded.fatal) log.error(failure + "; every option has its default");
  for (const auto& problem : loaded.problems) {
    log.warning(config::to_text(*arguments.config, problem));
  }
  return std::move(loaded.settings);
}

// The main thread: waits for triggers, gathers, writes.
class Loop {
 public:
  Loop(collect::Engine& engine, Log& log, std::chrono::milliseconds wait, const sigset_t& signals,
       std::optional<std::chrono::milliseconds> poll_interval)
      : engine_(engine),
        log_(log),
        wait_(wait),
        signals_(needed(::signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK), "signalfd")),
        ticker_(poll_interval ? make_ticker(*poll_interval) : Fd()) {}

  // The exit status: not 0 where lines were lost.
  int run() {
    while (!ended_) {
      wait();
      if (asked_) answer();
    }
    // What was asked before the end is answered, and whole.
    output_.finish(finish_wait);
    return status_;
  }

 private:
  void wait() {
    pollfd events[] = {{STDIN_FILENO, POLLIN, 0},
                       {signals_.get(), POLLIN, 0},
                       {ticker_.get(), POLLIN, 0},  // -1: passed over
                       {output_.pending() ? STDOUT_FILENO : -1, POLLOUT, 0}};
    const bool hint_due = !ever_asked_ && !ticker_ && !hinted_;
    const auto ready =
        ::poll(events, std::size(events), hint_due ? static_cast<int>(hint_left().count()) : -1);
    if (ready == 0) hint();
    if (ready <= 0) return;
    if (events[3].revents != 0) write();
    if (events[0].revents != 0) read_stdin();
    if (events[1].revents != 0) read_signals();
    std::uint64_t ticks = 0;
    if (events[2].revents != 0 && ::read(ticker_.get(), &ticks, sizeof ticks) > 0) asked_ = true;
  }

  std::chrono::milliseconds hint_left() const {
    const auto left = start_ + hint_after - std::chrono::steady_clock::now();
    return std::max(0ms, std::chrono::ceil<std::chrono::milliseconds>(left));
  }

  void hint() {
    hinted_ = true;
    log_.warning(
        "nobody has asked for values for a minute: set signal = \"STDIN\" in the "
        "[[inputs.execd]] block, or give -poll_interval 10s in its command");
  }

  // Several triggers that came together are one.
  void read_stdin() {
    char bytes[256];
    const auto size = ::read(STDIN_FILENO, bytes, sizeof bytes);
    if (size > 0) {
      asked_ = asked_ || std::string_view(bytes, static_cast<std::size_t>(size)).find('\n') !=
                             std::string_view::npos;
    } else if (size == 0 || (errno != EAGAIN && errno != EINTR)) {
      ended_ = true;
    }
  }

  void read_signals() {
    signalfd_siginfo signal{};
    while (::read(signals_.get(), &signal, sizeof signal) == sizeof signal) {
      const auto number = static_cast<int>(signal.ssi_signo);
      if (number == SIGTERM || number == SIGINT) {
        ended_ = true;
      } else {
        asked_ = true;
      }
    }
  }

  void answer() {
    asked_ = false;
    const bool first = !ever_asked_;
    ever_asked_ = true;
    if (output_.pending()) {
      engine_.count_skipped();
      return;
    }
    output_.clear();
    output::LineProtocol sink(output_.lines(), output::Unsigned::kept);
    (void)engine_.gather(sink, first ? std::max(first_wait, wait_) : wait_);
    write();
  }

  void write() {
    const auto written = output_.write();
    if (written) return;
    ended_ = true;
    if (written.error().number == EPIPE) return;  // nobody is there to lose anything
    log_.error(to_text(written.error()) + "; lines are lost, so this ends");
    status_ = 1;
  }

  collect::Engine& engine_;
  Log& log_;
  std::chrono::milliseconds wait_;
  Fd signals_, ticker_;
  Output output_;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  int status_ = 0;
  bool asked_ = false, ever_asked_ = false, hinted_ = false, ended_ = false;
};

int run(std::span<const char* const> given) {
  const auto signals = block_signals();
  const auto arguments = parse_arguments(given);
  if (arguments.help || arguments.version) {
    const std::string_view text = arguments.help ? usage : "wgvitals-execd " WGVITALS_VERSION "\n";
    return ::write(STDOUT_FILENO, text.data(), text.size()) < 0 ? 1 : 0;
  }
  raise_capabilities();
  const auto log = std::make_shared<StderrLog>();
  const auto settings = load(arguments, *log);
  collect::Engine engine(settings, {.log = log, .first_window = first_wait});
  engine.start();
  return Loop(engine, *log, settings.duration(collect::gather_wait), signals,
              arguments.poll_interval)
      .run();
}

}  // namespace
}  // namespace wgvitals::telegraf

int main(int count, char** arguments) {
  try {
    return wgvitals::telegraf::run(
        std::span<const char* const>(arguments, static_cast<std::size_t>(count)).subspan(1));
  } catch (const std::exception& error) {
    wgvitals::telegraf::StderrLog().error(error.what());
    return 1;
  }
}
