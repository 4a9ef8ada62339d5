// wgvitals once: one reading, in the format asked for.

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <memory>

#include "common/collect/collector.h"
#include "common/collect/engine.h"
#include "common/output/graphite.h"
#include "common/output/json.h"
#include "common/output/line_protocol.h"
#include "common/output/prometheus.h"
#include "plugins/cli/commands.h"
#include "plugins/cli/table.h"

namespace wgvitals::cli {
namespace {

constexpr std::chrono::milliseconds longest_wait(3000);

struct Asked {
  std::string format = "table";
  bool keep_unsigned = false;
  std::optional<std::string> config;
  std::vector<std::string> only, devices;
  std::string prefix = "wireguard";
  std::string host;
};

std::string host_name() {
  char name[256] = "localhost";
  (void)::gethostname(name, sizeof name - 1);
  return name;
}

void narrow(const Asked& asked, config::Settings& settings) {
  for (const auto& name : asked.only) {
    const auto& table = collect::table();
    if (std::none_of(table.begin(), table.end(),
                     [&](const auto* e) { return e->name() == name; })) {
      throw CLI::ValidationError("--only", "no collector is called '" + name + "'");
    }
  }
  for (const auto* entry : collect::table()) {
    const bool wanted = asked.only.empty() || std::find(asked.only.begin(), asked.only.end(),
                                                        entry->name()) != asked.only.end();
    if (!wanted) settings.set(entry->enabled, false);
  }
  if (!asked.devices.empty()) {
    const std::vector<config::Value> values(asked.devices.begin(), asked.devices.end());
    std::vector<config::Problem> problems;
    settings.read({"", {{"interface_include", values, 0}}}, problems);
  }
}

// Gathers into the sink; says so where the engine was stuck.
bool gather(const config::Settings& settings, Sink& sink) {
  collect::Engine engine(settings, {.log = std::make_shared<TerminalLog>(), .resident = false});
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
  auto settings = load_settings(asked.config);
  narrow(asked, settings);
  std::string text;
  bool in_time = true;
  if (asked.format == "influx") {
    output::LineProtocol sink(
        text, asked.keep_unsigned ? output::Unsigned::kept : output::Unsigned::clipped);
    in_time = gather(settings, sink);
  } else if (asked.format == "graphite") {
    output::Graphite sink(text, asked.prefix, asked.host.empty() ? host_name() : asked.host);
    in_time = gather(settings, sink);
  } else if (asked.format == "prometheus") {
    output::Prometheus sink;
    in_time = gather(settings, sink);
    text = sink.text();
  } else if (asked.format == "json") {
    output::Json sink;
    in_time = gather(settings, sink);
    text = sink.finish();
  } else {
    Table sink;
    in_time = gather(settings, sink);
    text = sink.text(::isatty(STDOUT_FILENO) == 1);
  }
  const bool written =
      std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0;
  return in_time && written ? 0 : 1;
}

}  // namespace

Run add_once(CLI::App& app) {
  const auto asked = std::make_shared<Asked>();
  app.add_option("--format", asked->format, "influx, prometheus, graphite, json or table")
      ->check(CLI::IsMember({"influx", "prometheus", "graphite", "json", "table"}))
      ->capture_default_str();
  app.add_flag("--uint", asked->keep_unsigned,
               "influx: write unsigned numbers as u (InfluxDB 1.x refuses them)");
  app.add_option("--config", asked->config, "Options in TOML, as for wgvitals-execd")
      ->type_name("FILE");
  app.add_option("--only", asked->only, "Collectors to run")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->type_name("NAME,...");
  app.add_option("--prefix", asked->prefix, "graphite: first part of each path")
      ->capture_default_str();
  app.add_option("--host", asked->host, "graphite: the host's part of each path");
  app.add_option("DEVICE", asked->devices, "Devices to read; none: all");
  return [asked] { return run(*asked); };
}

}  // namespace wgvitals::cli
