#include "plugins/cli/asked.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>

#include "common/base/text.h"
#include "common/collect/collector.h"
#include "common/output/graphite.h"
#include "common/output/json.h"
#include "common/output/line_protocol.h"
#include "common/output/prometheus.h"
#include "plugins/cli/commands.h"
#include "plugins/cli/table.h"

namespace wgvitals::cli {
namespace {

std::string host_name() {
  char name[256] = "localhost";
  (void)::gethostname(name, sizeof name - 1);
  return name;
}

// Graphite's lines are parted by blanks.
std::string refuse_path(const std::string& text) {
  const bool usable = text.find(' ') == std::string::npos && text::to_printable(text) == text;
  return usable ? "" : "takes no blanks and control characters, and only UTF-8";
}

}  // namespace

void add_options(CLI::App& app, Asked& asked, const std::vector<std::string>& formats) {
  app.add_option("--format", asked.format, fmt::format("{}", fmt::join(formats, ", ")))
      ->check(CLI::IsMember(formats))
      ->type_name("FORMAT");
  app.add_option("--config", asked.config, "Options in TOML, as for wgvitals-execd")
      ->type_name("FILE");
  app.add_option("--only", asked.only, "Collectors to run")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->type_name("NAME,...");
  app.add_option("--prefix", asked.prefix, "graphite: first part of each path")
      ->check(refuse_path)
      ->capture_default_str();
  app.add_option("--host", asked.host, "graphite: the host's part of each path")
      ->check(refuse_path);
  app.add_option("DEVICE", asked.devices, "Devices to read; none: all");
}

config::Settings to_settings(const Asked& asked) {
  auto settings = load_settings(asked.config);
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
  return settings;
}

Page tell(const Asked& asked, const std::function<bool(Sink&)>& gather) {
  Page page;
  if (asked.format == "influx") {
    output::LineProtocol sink(
        page.text, asked.keep_unsigned ? output::Unsigned::kept : output::Unsigned::clipped);
    page.in_time = gather(sink);
  } else if (asked.format == "graphite") {
    output::Graphite sink(page.text, asked.prefix, asked.host.empty() ? host_name() : asked.host);
    page.in_time = gather(sink);
  } else if (asked.format == "prometheus") {
    output::Prometheus sink;
    page.in_time = gather(sink);
    page.text = sink.text();
  } else if (asked.format == "json") {
    output::Json sink;
    page.in_time = gather(sink);
    page.text = sink.finish();
  } else {
    Table sink;
    page.in_time = gather(sink);
    page.text = sink.text(::isatty(STDOUT_FILENO) == 1);
  }
  return page;
}

}  // namespace wgvitals::cli
