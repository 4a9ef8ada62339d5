// wgvitals: WireGuard's vital signs for people at a terminal.

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <system_error>

#include "common/base/capabilities.h"
#include "common/collect/engine.h"
#include "plugins/cli/commands.h"

namespace wgvitals::cli {

void TerminalLog::write(Level level, std::string_view line) {
  if (level > least_) return;
  constexpr const char* names[] = {"error", "warning", "info", "debug"};
  const auto text = fmt::format("{}: {}\n", names[static_cast<std::size_t>(level)], line);
  (void)std::fputs(text.c_str(), stderr);  // nobody may be there to read it
}

config::Settings load_settings(const std::optional<std::string>& path) {
  if (!path && !std::filesystem::exists(default_config)) {
    return config::Settings(collect::schema());
  }
  const auto file = path.value_or(default_config);
  auto loaded = config::load_toml(Root(), std::filesystem::absolute(file), collect::schema());
  TerminalLog log;
  for (const auto& failure : loaded.fatal) log.error(failure);
  for (const auto& problem : loaded.problems) log.warning(config::to_text(file, problem));
  if (path && !loaded.fatal.empty()) throw CLI::RuntimeError(2);
  return std::move(loaded.settings);
}

namespace {

// What was printed has to have arrived: a full disk shows only now.
int finish(int status) {
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return status;
  TerminalLog().error("stdout: " + std::generic_category().message(errno));
  return std::max(status, 1);
}

int run(int count, char** arguments) {
  CLI::App app("WireGuard's vital signs: peers, traffic, handshakes.", "wgvitals");
  app.set_version_flag("--version", "wgvitals " WGVITALS_VERSION);
  app.require_subcommand(1);
  app.footer("Start with 'wgvitals once'. Manual: wgvitals(1).");
  const std::pair<CLI::App*, Run> commands[] = {
      [&] {
        auto* sub = app.add_subcommand("once", "Read everything once and print it");
        return std::pair(sub, add_once(*sub));
      }(),
      [&] {
        auto* sub = app.add_subcommand("serve", "Stay, and feed node_exporter or Graphite");
        return std::pair(sub, add_serve(*sub));
      }(),
      [&] {
        auto* sub = app.add_subcommand("check", "Check a configuration, the rights and the volume");
        return std::pair(sub, add_check(*sub));
      }(),
      [&] {
        auto* sub = app.add_subcommand("catalogue", "List every metric under every host's name");
        return std::pair(sub, add_catalogue(*sub));
      }(),
      [&] {
        auto* sub =
            app.add_subcommand("names", "Export peers' names and labels, without keys' secrets");
        return std::pair(sub, add_names(*sub));
      }(),
      [&] {
        auto* sub = app.add_subcommand("probe", "Ask a host, now: ping, path, mtu, handshake");
        return std::pair(sub, add_probe(*sub));
      }(),
  };
  try {
    app.parse(count, arguments);
    raise_capabilities();
    for (const auto& [sub, command] : commands) {
      if (sub->parsed()) return finish(command());
    }
  } catch (const CLI::RuntimeError& error) {
    return error.get_exit_code();
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  return 2;
}

}  // namespace
}  // namespace wgvitals::cli

int main(int count, char** arguments) {
  try {
    return wgvitals::cli::run(count, arguments);
  } catch (const std::exception& error) {
    (void)std::fprintf(stderr, "error: %s\n", error.what());
    return 1;
  }
}
