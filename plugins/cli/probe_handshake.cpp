// wgvitals probe handshake: does a WireGuard server work, seen from here, step by step.

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <thread>
#include <utility>

#include "common/base/text.h"
#include "common/kernel/wireguard.h"
#include "common/probe/crypto.h"
#include "plugins/cli/commands.h"
#include "plugins/cli/handshake_asked.h"
#include "plugins/cli/table.h"

namespace wgvitals::cli {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;
using probe::HandshakeOutcome;
using probe::HandshakeTarget;

constexpr int not_probed = 2;  // exit status

struct Server : AskedServer {
  explicit Server(AskedServer asked) : AskedServer(std::move(asked)) {}
  std::unique_ptr<probe::HandshakeProbes> probes;
  std::shared_ptr<std::atomic<bool>> under_way = std::make_shared<std::atomic<bool>>(false);
  probe::HandshakeProbes::Outcomes outcome{1};
  std::string failure;  // why it is not probed
};

// 1. What is printed.

double to_ms(std::chrono::nanoseconds time) { return static_cast<double>(time.count()) / 1e6; }

std::string to_text_endpoint(const Endpoint& endpoint) {
  char text[longest_endpoint];
  return std::string(to_text(endpoint, text));
}

// Lines of at most 78 columns, indented; a command in backticks stays whole.
std::string wrapped(std::string_view words) {
  constexpr std::size_t width = 76;
  std::string page, line, part;
  while (const auto word = text::next_word(words)) {
    (part += part.empty() ? "" : " ") += *word;
    if (std::ranges::count(part, '`') % 2 != 0 && !words.empty()) continue;
    if (!line.empty() && line.size() + 1 + part.size() > width) {
      page += "  " + std::exchange(line, {}) + '\n';
    }
    (line += line.empty() ? "" : " ") += std::exchange(part, {});
  }
  return line.empty() ? page : page + "  " + line + '\n';
}

std::string to_verdict(const Server& server, const HandshakeOutcome& outcome) {
  auto text = fmt::format("{}: {}", server.name, probe::to_word(outcome.kind));
  if (outcome.rtt) text += fmt::format(", handshake in {} ms", to_human_ms(to_ms(*outcome.rtt)));
  if (outcome.tunnel_sent > 0) {
    text += fmt::format(", {} of {} pings through the tunnel answered", outcome.tunnel_received,
                        outcome.tunnel_sent);
    if (outcome.tunnel_rtt)
      text += fmt::format(" in {} ms", to_human_ms(to_ms(*outcome.tunnel_rtt)));
  }
  if (outcome.tunnel_port_open) {
    text += fmt::format(", TCP port {} {}", server.target.tunnel_port,
                        *outcome.tunnel_port_open ? "open" : "not open");
  }
  if (outcome.answered_from) text += ", from " + to_text_endpoint(*outcome.answered_from);
  return text + '\n' + wrapped(outcome.advice);
}

// Names as those of the measurement wireguard_probe.
nlohmann::ordered_json to_json(const Server& server, const HandshakeOutcome& outcome) {
  nlohmann::ordered_json object{{"probe", server.name}, {"server", server.place}};
  object["ok"] = outcome.kind == HandshakeOutcome::Kind::ok ? 1 : 0;
  object["outcome_code"] = static_cast<int>(outcome.kind);
  object["outcome"] = probe::to_word(outcome.kind);
  if (outcome.rtt) object["handshake_rtt_ms"] = to_ms(*outcome.rtt);
  if (outcome.resolve) object["resolve_ms"] = to_ms(*outcome.resolve);
  if (outcome.initiations > 0) object["cookie"] = outcome.cookie ? 1 : 0;
  if (const auto sent = outcome.tunnel_sent; sent > 0) {
    object["tunnel_sent"] = sent;
    object["tunnel_received"] = outcome.tunnel_received;
    if (outcome.tunnel_rtt) object["tunnel_rtt_ms"] = to_ms(*outcome.tunnel_rtt);
    object["tunnel_loss_percent"] = 100.0 * (sent - std::min(sent, outcome.tunnel_received)) / sent;
  }
  if (outcome.tunnel_port_open) object["tunnel_port_open"] = *outcome.tunnel_port_open ? 1 : 0;
  if (!outcome.advice.empty()) object["advice"] = text::to_printable(outcome.advice);
  if (outcome.answered_from) object["answered_from"] = to_text_endpoint(*outcome.answered_from);
  return object;
}

void print(const std::string& text) {
  (void)std::fwrite(text.data(), 1, text.size(), stdout);
  (void)std::fflush(stdout);
}

// 2. The probing.

// What keeps devices from being read is told in one note, for what it means here.
class Unheard final : public Report {
 public:
  void failed(const Error&) override {}
  void retried() override {}
};

class Probing {
 public:
  Probing(const HandshakeAsked& asked, std::vector<AskedServer> servers) : json_(asked.json) {
    servers_.reserve(servers.size());
    for (auto& server : servers) servers_.emplace_back(std::move(server));
  }
  ~Probing() {
    loop_.stop();
    resolver_.stop();
  }
  Probing(const Probing&) = delete;

  // The exit status.
  int run() {
    Unheard unheard;
    kernel::WireGuardSources sources;
    sources.to_public = probe::make_public_key_of();
    kernel::WireGuardReader(Root(), std::move(sources)).read(devices_, unheard);
    if (devices_.incomplete || !devices_.unread.empty()) {
      TerminalLog().warning(
          "the key was not held against those of this host's WireGuard devices, which only root or "
          "CAP_NET_ADMIN may read: be sure that it is the probe's own");
    }
    for (auto& server : servers_) load(server);
    begun_ = Clock::now();
    for (auto& server : servers_) {
      if (server.failure.empty()) server.probes->begin();
    }
    while (!std::ranges::all_of(servers_, [&](auto& server) { return settle(server); })) {
      std::this_thread::sleep_for(2ms);
    }
    tell_troubles();
    int status = 0;
    for (const auto& server : servers_) status = std::max(status, status_of(server));
    return status;
  }

  // Of any server.
  bool has_sent() const {
    return any_outcome([](const HandshakeOutcome& outcome) { return outcome.initiations > 0; });
  }
  bool is_answered() const {
    return any_outcome([](const HandshakeOutcome& outcome) { return outcome.rtt.has_value(); });
  }

 private:
  bool any_outcome(bool (*is)(const HandshakeOutcome&)) const {
    return std::ranges::any_of(servers_, [is](const Server& server) {
      return server.outcome[0] && is(*server.outcome[0]);
    });
  }

  void load(Server& server) {
    auto target = server.target;
    target.step = [json = json_, under_way = server.under_way,
                   who = servers_.size() > 1 ? server.name + ": "
                                             : std::string()](const probe::HandshakeStep& step) {
      *under_way = true;
      if (!json) print(fmt::format("{}{:9.1f} ms  {}\n", who, to_ms(step.at), step.text));
    };
    server.probes = std::make_unique<probe::HandshakeProbes>(
        loop_, resolver_, std::vector<HandshakeTarget>{std::move(target)}, 0);
    if (const auto loaded = server.probes->load(); !loaded) {
      fail(server, to_text(loaded.error()));
    } else if (const auto own = server.probes->own_key(0); !own) {
      fail(server, trouble_of(server));
    } else if (const auto owner = probe::refuse_key(*own, server.target.server, devices_);
               !owner.empty()) {
      fail(server, server.name + ": " + owner);
    }
  }

  static std::string trouble_of(const Server& server) {
    std::string text;
    for (const auto& error : server.probes->wrong()) {
      (text += text.empty() ? "" : "; ") += to_text(error);
    }
    return text.empty() ? server.name + ": nothing could be sent" : text;
  }

  static void fail(Server& server, std::string why) {
    server.failure = std::move(why);
    TerminalLog().error(server.failure);
  }

  // Whether there is nothing more to wait for.
  bool settle(Server& server) {
    if (!server.failure.empty() || server.outcome[0]) return true;
    const bool under_way = *server.under_way;
    server.probes->take(server.outcome);
    if (const auto& outcome = server.outcome[0]) {
      print(json_ ? to_json(server, *outcome).dump() + '\n' : to_verdict(server, *outcome));
      return true;
    }
    // A name has a timeout, too: what is not under way by then has been put off.
    if (under_way || Clock::now() < begun_ + server.target.timeout + 1s) return false;
    fail(server, trouble_of(server));
    return true;
  }

  // Beside the outcomes: why a name does not resolve, state that cannot be kept.
  void tell_troubles() const {
    std::set<std::string> troubles;
    for (const auto& server : servers_) {
      if (!server.failure.empty()) continue;
      for (const auto& error : server.probes->wrong()) troubles.insert(to_text(error));
    }
    for (const auto& trouble : troubles) TerminalLog().warning(trouble);
  }

  static int status_of(const Server& server) {
    if (!server.failure.empty()) return not_probed;
    return server.outcome[0]->kind == HandshakeOutcome::Kind::ok ? 0 : 1;
  }

  bool json_;
  Devices devices_;
  probe::Resolver resolver_{start_plain_thread};
  probe::Loop loop_{start_plain_thread, std::make_shared<TerminalLog>()};
  std::vector<Server> servers_;
  Clock::time_point begun_;
};

int run(const HandshakeAsked& asked) {
  auto servers = to_servers(asked);
  if (!servers) {
    TerminalLog().error(to_text(servers.error()));
    return not_probed;
  }
  Probing probing(asked, std::move(*servers));
  const int status = probing.run();
  if (asked.ahead_s > 0 && probing.has_sent()) {
    TerminalLog().warning(fmt::format(
        "the timestamps of this key are now up to {} s ahead of the clock, here{}, and stay there "
        "until the clock has come so far",
        asked.ahead_s, probing.is_answered() ? " and at the server" : ""));
  }
  return status;
}

}  // namespace

Run add_probe_handshake(CLI::App& app) {
  const auto asked = std::make_shared<HandshakeAsked>();
  add_handshake_options(app, *asked);
  return [asked] { return run(*asked); };
}

}  // namespace wgvitals::cli
