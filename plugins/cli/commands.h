// The subcommands of wgvitals, a file each. A command adds itself to the parser and returns what
// runs it, with the exit status.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "common/base/log.h"
#include "common/config/load.h"

namespace wgvitals::cli {

using Run = std::function<int()>;

Run add_once(CLI::App& app);
Run add_serve(CLI::App& app);
Run add_check(CLI::App& app);
Run add_catalogue(CLI::App& app);
Run add_names(CLI::App& app);
Run add_probe(CLI::App& app);
Run add_probe_ping(CLI::App& app);
Run add_probe_path(CLI::App& app);
Run add_probe_mtu(CLI::App& app);
Run add_probe_handshake(CLI::App& app);
Run add_probe_setup(CLI::App& app);

constexpr const char* default_config = "/etc/wgvitals/wgvitals.toml";

// `path`, else the default file where it exists, else none. Problems go to stderr; ends the program
// (status 2) where a file that was asked for cannot be used.
config::Settings load_settings(const std::optional<std::string>& path);

// Plain lines on stderr, "warning: ...", down to `least`.
class TerminalLog final : public Log {
 public:
  explicit TerminalLog(Level least = Level::warning) : least_(least) {}
  void write(Level level, std::string_view line) override;

 private:
  Level least_;
};

}  // namespace wgvitals::cli
