// wgvitals serve: stays, so that handshakes are counted and peers judged, and puts every gather
// where Prometheus' node_exporter or Graphite takes it.

#include <algorithm>
#include <chrono>
#include <csignal>
#include <memory>
#include <thread>

#include "common/base/log.h"
#include "common/collect/engine.h"
#include "plugins/cli/asked.h"
#include "plugins/cli/commands.h"
#include "plugins/cli/publish.h"

namespace wgvitals::cli {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds first_wait = 3000ms;
constexpr milliseconds longest_sending = 5000ms;
constexpr config::Option interval_option{"interval", config::Takes::duration, "10s", "", 100,
                                         86'400'000};

struct Service : Asked {
  std::string interval{interval_option.fallback};
  std::string output;
};

// SIGTERM and SIGINT end the program on the spot, whatever it waits for: nothing is ever half done
// but the writing of a file, which holds them.
extern "C" void end(int) { ::_exit(0); }

class SignalsHeld {
 public:
  SignalsHeld() {
    sigset_t signals;
    sigemptyset(&signals);
    for (const int signal : {SIGTERM, SIGINT}) sigaddset(&signals, signal);
    (void)::pthread_sigmask(SIG_BLOCK, &signals, &before_);
  }
  ~SignalsHeld() { (void)::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalsHeld(const SignalsHeld&) = delete;

 private:
  sigset_t before_{};
};

milliseconds to_interval(const std::string& text) {
  const auto interval = config::to_duration(interval_option, text);
  if (interval) return *interval;
  throw CLI::ValidationError(
      "--interval", "expected " + config::expectation(interval_option) + ", found '" + text + "'");
}

Destination to_place(const Service& asked, Log& log) {
  auto destination = to_destination(asked.output, asked.format);
  if (!destination) throw CLI::ValidationError("--output", destination.error().where);
  const auto* path = std::get_if<std::filesystem::path>(&*destination);
  if (path != nullptr && asked.format == "prometheus" && path->extension() != ".prom") {
    log.warning(path->string() + ": node_exporter reads only files that end in .prom");
  }
  return std::move(*destination);
}

Result<Done> publish(const Destination& destination, const std::string& text,
                     milliseconds interval) {
  if (const auto* endpoint = std::get_if<Endpoint>(&destination)) {
    return send_lines(*endpoint, text, std::min(interval, longest_sending));
  }
  const SignalsHeld held;
  return replace_file(std::get<std::filesystem::path>(destination), text);
}

[[noreturn]] void serve(const Service& asked, const Destination& destination, milliseconds interval,
                        milliseconds usual_wait, collect::Engine& engine, Log& log) {
  Complaints complaints;
  auto wait = std::max(first_wait, usual_wait);
  auto next = Clock::now();
  while (true) {
    const auto page = tell(asked, [&](Sink& sink) { return engine.gather(sink, wait); });
    const auto published = publish(destination, page.text, interval);
    const auto now = Clock::now();
    const auto complain = [&](const std::string& text) {
      complaints.complain(log, Level::warning, text, now);
    };
    if (!page.in_time) complain("a gather has no reading: the kernel holds its network lock");
    if (!published) complain(to_text(published.error()));
    // A failure that turns into another is not over.
    if (published) complaints.settle(log, now);
    for (next += interval; next <= now; next += interval) engine.count_skipped();
    std::this_thread::sleep_until(next);
    wait = usual_wait;
  }
}

int run(const Service& asked) {
  const auto log = std::make_shared<TerminalLog>(Level::info);
  const auto interval = to_interval(asked.interval);
  const auto destination = to_place(asked, *log);
  const auto settings = to_settings(asked);
  if (const auto* path = std::get_if<std::filesystem::path>(&destination)) {
    const auto checked = check_place(*path);
    if (!checked) {
      log->error(to_text(checked.error()));
      return 1;
    }
  }
  for (const int signal : {SIGTERM, SIGINT}) (void)std::signal(signal, end);
  (void)std::signal(SIGPIPE, SIG_IGN);
  collect::Engine engine(settings, {.log = log});
  {
    const SignalsHeld held;  // for the engine's thread as long as it lives
    engine.start();
  }
  serve(asked, destination, interval, settings.duration(collect::gather_wait), engine, *log);
}

}  // namespace

Run add_serve(CLI::App& app) {
  const auto asked = std::make_shared<Service>();
  add_options(app, *asked, {"prometheus", "graphite"});
  app.get_option("--format")->required();
  app.add_option("--output", asked->output, "A file, or for graphite the carbon to send to")
      ->required()
      ->type_name("FILE|HOST:PORT");
  app.add_option("--interval", asked->interval, "Time from gather to gather")
      ->capture_default_str()
      ->type_name("TIME");
  return [asked] { return run(*asked); };
}

}  // namespace wgvitals::cli
