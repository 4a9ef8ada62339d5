// wgvitals probe: active probes on demand, a file each.

#include <memory>

#include "plugins/cli/commands.h"

namespace wgvitals::cli {

Run add_probe(CLI::App& app) {
  app.require_subcommand(1);
  struct Probe {
    CLI::App* command;
    Run run;
  };
  const auto probes = std::make_shared<std::vector<Probe>>();
  const auto add = [&](const char* name, const char* help, Run (*of)(CLI::App&)) {
    auto* command = app.add_subcommand(name, help);
    probes->push_back({command, of(*command)});
  };
  add("ping", "Latency and loss by ICMP echo", add_probe_ping);
  add("path", "Who forwards the packets, and how fast, as mtr does", add_probe_path);
  add("mtu", "The largest packet that passes", add_probe_mtu);
  add("handshake", "Does a WireGuard server work", add_probe_handshake);
  add("setup", "A key for a probe, and the lines that make it known to a server", add_probe_setup);
  return [probes] {
    for (const auto& probe : *probes) {
      if (probe.command->parsed()) return probe.run();
    }
    return 2;
  };
}

}  // namespace wgvitals::cli
