// wgvitals once: one reading, in the format asked for.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>

#include "common/collect/engine.h"
#include "plugins/cli/asked.h"
#include "plugins/cli/commands.h"

namespace wgvitals::cli {
namespace {

constexpr std::chrono::milliseconds longest_wait(3000);

// Gathers into the sink; says so where the engine was stuck.
bool gather(const config::Settings& settings, Sink& sink) {
  collect::Engine engine(
      settings,
      {.log = std::make_shared<TerminalLog>(), .resident = false, .first_window = longest_wait});
  engine.start();
  const bool in_time =
      engine.gather(sink, std::max(longest_wait, settings.duration(collect::gather_wait)));
  if (!in_time) {
    TerminalLog().error(
        "no reading within " + std::to_string(longest_wait.count()) +
        " ms: the kernel holds its network lock (is a large device being deleted?)");
  }
  engine.stop();
  return in_time;
}

int run(const Asked& asked) {
  const auto settings = to_settings(asked);
  const auto page = tell(asked, [&](Sink& sink) { return gather(settings, sink); });
  (void)std::fwrite(page.text.data(), 1, page.text.size(), stdout);  // main sees whether it arrived
  return page.in_time ? 0 : 1;
}

}  // namespace

Run add_once(CLI::App& app) {
  const auto asked = std::make_shared<Asked>();
  asked->format = "table";
  add_options(app, *asked, {"influx", "prometheus", "graphite", "json", "table"});
  app.get_option("--format")->capture_default_str();
  app.add_flag("--uint", asked->keep_unsigned,
               "influx: write unsigned numbers as u (InfluxDB 1.x refuses them)");
  return [asked] { return run(*asked); };
}

}  // namespace wgvitals::cli
