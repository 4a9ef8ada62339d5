#include "plugins/cli/handshake_asked.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "common/base/text.h"
#include "common/collect/probe_options.h"
#include "common/kernel/nesting.h"
#include "common/probe/key_file.h"
#include "plugins/cli/tunnel_config.h"

namespace wgvitals::cli {
namespace {

using probe::HandshakeTarget;

constexpr config::Option timeout_option{"timeout", config::Takes::duration, "2s", "", 100, 60'000};

CLI::ValidationError wrong(const char* option, const std::string& why) {
  return CLI::ValidationError(option, why);
}

Endpoint to_address(const char* option, const std::string& text) {
  if (text.empty()) return {};
  if (const auto address = parse_address(text)) return *address;
  throw wrong(option, "'" + text + "' is no address");
}

PublicKey to_key(const char* option, const std::string& text) {
  if (const auto key = key_from_base64(text)) return *key;
  throw wrong(option, "is no public key: 44 characters, as wg(8) prints it");
}

HandshakeTarget to_shared(const HandshakeAsked& asked) {
  auto target = asked.shared;
  const auto timeout = config::to_duration(timeout_option, asked.timeout);
  if (!timeout) {
    throw wrong("--timeout", fmt::format("expected {}, found '{}'",
                                         config::expectation(timeout_option), asked.timeout));
  }
  target.timeout = *timeout;
  target.ahead = std::chrono::seconds(asked.ahead_s);
  target.pace = {std::chrono::hours(24), 1};  // once
  target.path.source = to_address("--source-address", asked.outer_source);
  target.family = asked.family == "ipv4"   ? AddressFamily::ipv4
                  : asked.family == "ipv6" ? AddressFamily::ipv6
                                           : target.path.source.family;
  if (target.path.source.family != AddressFamily::none &&
      target.path.source.family != target.family) {
    throw wrong("--source-address", "is of the other address family");
  }
  target.tunnel_address = to_address("--tunnel", asked.tunnel);
  target.tunnel_source = to_address("--source", asked.source);
  return target;
}

void check_tunnel(const HandshakeTarget& target) {
  if (target.tunnel_address.family == AddressFamily::none) return;
  if (target.tunnel_source.family == AddressFamily::none) {
    throw wrong("--source",
                "--tunnel needs it: the address that the server's allowed IPs have "
                "for this key");
  }
  if (target.tunnel_address.family != target.tunnel_source.family) {
    throw wrong("--source", "--tunnel is of the other address family");
  }
}

void set_place(const collect::HostPort& place, HandshakeTarget& target) {
  target.host = place.host;
  target.port = place.port;
}

AskedServer to_server(const HandshakeAsked& asked) {
  auto target = to_shared(asked);
  check_tunnel(target);
  const auto place = collect::parse_host_port(asked.server);
  if (!place || place->host.empty()) {
    throw wrong("--server", "'" + asked.server + "' is no HOST:PORT");
  }
  set_place(*place, target);
  target.server = to_key("--server-key", asked.server_key);
  target.read_key = probe::make_key_reader(asked.key_file);
  target.read_psk = probe::make_key_reader(asked.psk_file);
  target.name = text::to_printable(asked.server);
  return {target.name, target.name, std::move(target)};
}

bool is_asked_for(const HandshakeAsked& asked, const TunnelServer& server) {
  if (asked.peer.empty()) return true;
  const auto key = to_base64(server.key);
  return asked.peer == server.name || asked.peer == server.endpoint || asked.peer == view(key);
}

// Packets to --tunnel are for the peers whose allowed IPs have it.
bool takes(const TunnelServer& server, const Endpoint& address) {
  return std::ranges::any_of(
      server.allowed, [&](const Prefix& prefix) { return kernel::contains(prefix, address); });
}

std::vector<AskedServer> to_servers_of(const TunnelConfig& config, const HandshakeAsked& asked) {
  auto shared = to_shared(asked);
  shared.read_key = config.read_key;
  const auto inside = std::exchange(shared.tunnel_address, {});
  if (shared.tunnel_source.family == AddressFamily::none) {
    const auto own = std::ranges::find(config.addresses, inside.family, &Endpoint::family);
    if (own != config.addresses.end()) shared.tunnel_source = *own;
  }
  std::vector<AskedServer> servers;
  bool taken = inside.family == AddressFamily::none;
  for (const auto& peer : config.servers) {
    if (!is_asked_for(asked, peer)) continue;
    auto target = shared;
    set_place(peer.place, target);
    target.server = peer.key;
    target.read_psk = peer.read_psk;
    target.name = text::to_printable(peer.name.empty() ? peer.endpoint : peer.name);
    if (inside.family != AddressFamily::none && takes(peer, inside)) {
      taken = true;
      target.tunnel_address = inside;
      check_tunnel(target);
    }
    servers.push_back({target.name, peer.endpoint, std::move(target)});
  }
  if (servers.empty()) throw wrong("--peer", "no peer with an Endpoint is '" + asked.peer + "'");
  if (!taken) throw wrong("--tunnel", "'" + asked.tunnel + "' is in no peer's AllowedIPs");
  return servers;
}

}  // namespace

void add_handshake_options(CLI::App& app, HandshakeAsked& asked) {
  auto& shared = asked.shared;
  auto* server =
      app.add_option("--server", asked.server, "WireGuard server")->type_name("HOST:PORT");
  auto* server_key =
      app.add_option("--server-key", asked.server_key, "Its public key")->type_name("KEY");
  auto* key_file = app.add_option("--key-file", asked.key_file,
                                  "The probe's own private key ('wgvitals probe setup' makes one)")
                       ->type_name("FILE");
  server->needs(server_key)->needs(key_file);
  app.add_option("--psk-file", asked.psk_file, "The preshared key, where there is one")
      ->type_name("FILE")
      ->needs(server);
  auto* config = app.add_option("--config", asked.config,
                                "A wg-quick file made for a monitoring peer: all servers in it")
                     ->type_name("FILE")
                     ->excludes(server);
  app.add_option("--peer", asked.peer, "Of these the one of this name, public key or endpoint")
      ->needs(config);
  auto* tunnel = app.add_option("--tunnel", asked.tunnel,
                                "Address behind the server to ping through the tunnel")
                     ->type_name("ADDRESS");
  app.add_option("--source", asked.source,
                 "The probe's own address inside the tunnel; --config has one")
      ->type_name("ADDRESS")
      ->needs(tunnel);
  app.add_option("-c,--count", shared.tunnel_count, "Pings through the tunnel")
      ->check(CLI::Range(1, 100))
      ->capture_default_str()
      ->needs(tunnel);
  app.add_option("--port", shared.tunnel_port, "TCP port of --tunnel to connect to, too")
      ->check(CLI::Range(1, 65'535))
      ->needs(tunnel);
  app.add_option("-t,--timeout", asked.timeout, "Longest time for each answer")
      ->type_name("TIME")
      ->capture_default_str();
  app.add_option("--retries", shared.retries, "Further initiations, a timeout apart")
      ->check(CLI::Range(0, 10))
      ->capture_default_str();
  app.add_option("-I,--device", shared.path.device, "Network interface to send by");
  app.add_option("-S,--source-address", asked.outer_source, "Own address to send from");
  app.add_option("-m,--mark", shared.path.mark, "Firewall mark of the packets");
  app.add_option("--family", asked.family, "Which addresses of a name: any, ipv4, ipv6")
      ->check(CLI::IsMember({"any", "ipv4", "ipv6"}));
  app.add_option("--ahead", asked.ahead_s,
                 "Sends timestamps so many seconds ahead: proves that the server remembers later "
                 "ones, and stays ahead")
      ->type_name("SECONDS")
      ->check(CLI::Range(1, 315'360'000));
  app.add_flag("--json", asked.json,
               "One JSON object a server, named as the wireguard_probe measurement");
}

Result<std::vector<AskedServer>> to_servers(const HandshakeAsked& asked) {
  if (!asked.server.empty()) return std::vector{to_server(asked)};
  if (asked.config.empty()) throw CLI::RequiredError("--server or --config");
  const auto config = read_tunnel_config(asked.config);
  if (!config) return config.error();
  return to_servers_of(*config, asked);
}

}  // namespace wgvitals::cli
