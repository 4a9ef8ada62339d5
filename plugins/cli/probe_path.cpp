// wgvitals probe path: the hops on the way to a host, in the manner of mtr's report.

#include <fmt/format.h>
#include <netdb.h>
#include <sys/socket.h>

#include <algorithm>
#include <condition_variable>
#include <future>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <thread>

#include "common/base/text.h"
#include "common/probe/hops.h"
#include "plugins/cli/commands.h"
#include "plugins/cli/way.h"

namespace wgvitals::cli {
namespace {

constexpr std::chrono::seconds longest_names_wait(3);

struct PathAsked : WayAsked {
  unsigned rounds = 10;
  unsigned max_hops = 30;
  bool names = false;
};

struct Outcome {
  std::string host, address, title;
  probe::HopsResult result;
  std::vector<std::string> names;  // of the hops; empty: none asked for, or none found
  std::optional<LocalWay> local;
};

std::string to_text_address(const Endpoint& endpoint) {
  char text[longest_endpoint];
  return std::string(to_address_text(endpoint, text));
}

std::string look_up_name(const Endpoint& address) {
  sockaddr_storage storage{};
  const auto size = to_sockaddr(address, storage);
  char name[NI_MAXHOST];
  const int failed = ::getnameinfo(reinterpret_cast<const sockaddr*>(&storage), size, name,
                                   sizeof name, nullptr, 0, NI_NAMEREQD);
  return failed != 0 ? "" : text::to_printable(name);
}

// All at once; who does not answer in time is left behind.
std::vector<std::string> look_up_names(const std::vector<probe::Hop>& hops) {
  struct Shared {
    std::mutex mutex;
    std::condition_variable changed;
    std::vector<std::string> names;
    std::size_t open = 0;
  };
  const auto shared = std::make_shared<Shared>();
  std::unique_lock lock(shared->mutex);
  shared->names.resize(hops.size());
  for (std::size_t i = 0; i < hops.size(); ++i) {
    if (hops[i].address.family == AddressFamily::none) continue;
    ++shared->open;
    std::thread([shared, i, address = hops[i].address] {
      auto name = look_up_name(address);
      const std::lock_guard locked(shared->mutex);
      shared->names[i] = std::move(name);
      --shared->open;
      shared->changed.notify_all();
    }).detach();
  }
  shared->changed.wait_for(lock, longest_names_wait, [&] { return shared->open == 0; });
  return shared->names;
}

double to_ms(std::chrono::nanoseconds time) { return static_cast<double>(time.count()) / 1e6; }

double to_loss(const probe::Hop& hop) {
  return hop.sent == 0 ? 0 : 100.0 * (hop.sent - hop.received) / hop.sent;
}

std::string to_who(const Outcome& outcome, std::size_t index) {
  const auto& hop = outcome.result.hops[index];
  if (hop.received == 0) return "???";
  auto who = to_text_address(hop.address);
  if (index < outcome.names.size() && !outcome.names[index].empty()) {
    who = fmt::format("{} ({})", outcome.names[index], who);
  }
  if (hop.addresses > 1) who += fmt::format(" +{}", hop.addresses - 1);
  return who;
}

// mtr's trap: many routers answer only so often, while what they forward passes.
bool misses_alone(const probe::HopsResult& result) {
  if (result.hops.empty()) return false;
  const auto at_end = to_loss(result.hops.back());
  return result.reached &&
         std::any_of(result.hops.begin(), result.hops.end(),
                     [&](const probe::Hop& hop) { return to_loss(hop) > at_end; });
}

std::string to_page(const Outcome& outcome) {
  const auto& result = outcome.result;
  std::size_t width = 15;
  for (std::size_t i = 0; i < result.hops.size(); ++i) {
    width = std::max(width, to_who(outcome, i).size());
  }
  auto page = outcome.title;
  if (outcome.local) page += ", " + to_text(*outcome.local);
  page += fmt::format("\n{:>3}  {:<{}} {:>6} {:>5} {:>8} {:>8} {:>8} {:>8} ms\n", "hop", "address",
                      width, "loss", "sent", "last", "avg", "best", "worst");
  for (std::size_t i = 0; i < result.hops.size(); ++i) {
    const auto& hop = result.hops[i];
    page += fmt::format("{:>3}  {:<{}} {:>5.1f}% {:>5}", i + 1, to_who(outcome, i), width,
                        to_loss(hop), hop.sent);
    if (hop.received > 0) {
      page += fmt::format(" {:>8.2f} {:>8.2f} {:>8.2f} {:>8.2f}", to_ms(hop.last),
                          to_ms(hop.total) / hop.received, to_ms(hop.best), to_ms(hop.worst));
    }
    page += '\n';
  }
  if (misses_alone(result)) {
    page +=
        "Loss at a hop that those behind it do not have is none: routers limit their answers.\n";
  }
  return page;
}

std::string to_failure(const Outcome& outcome) {
  const auto& result = outcome.result;
  auto text = outcome.title + " did not answer";
  if (result.error) return text + ": " + to_text(*result.error);
  return text + (result.hops.empty() ? ", nor any hop" : "; nor any hop behind the last shown");
}

nlohmann::ordered_json to_json(const Outcome& outcome) {
  const auto& result = outcome.result;
  nlohmann::ordered_json object{
      {"url", outcome.host}, {"resolved_address", outcome.address}, {"reached", result.reached}};
  if (outcome.local) {
    object["via_device"] = outcome.local->device;
    object["nested"] = outcome.local->tunnels.size();
    object["tunnels"] = outcome.local->tunnels;
  }
  if (result.error) object["error"] = text::to_printable(to_text(*result.error));
  auto& hops = object["hops"] = nlohmann::ordered_json::array();
  for (std::size_t i = 0; i < result.hops.size(); ++i) {
    const auto& hop = result.hops[i];
    nlohmann::ordered_json one{{"hop", i + 1}};
    if (hop.received > 0) {
      one["address"] = to_text_address(hop.address);
      one["addresses"] = hop.addresses;
    }
    if (i < outcome.names.size() && !outcome.names[i].empty()) one["name"] = outcome.names[i];
    one["packets_transmitted"] = hop.sent;
    one["packets_received"] = hop.received;
    one["percent_packet_loss"] = to_loss(hop);
    if (hop.received > 0) {
      one["last_response_ms"] = to_ms(hop.last);
      one["average_response_ms"] = to_ms(hop.total) / hop.received;
      one["best_response_ms"] = to_ms(hop.best);
      one["worst_response_ms"] = to_ms(hop.worst);
    }
    hops.push_back(std::move(one));
  }
  return object;
}

int run(const PathAsked& asked) {
  const auto path = to_echo_path(asked);
  if (!path) {
    TerminalLog().error(to_text(path.error()));
    return 1;
  }
  Outcome outcome{text::to_printable(asked.host),
                  to_text_address(path->to),
                  to_title(asked, *path),
                  {},
                  {},
                  {}};
  if (auto local = read_local_way(*path)) outcome.local = std::move(*local);
  probe::Loop loop(start_plain_thread, std::make_shared<TerminalLog>());
  std::promise<probe::HopsResult> found;
  probe::trace_hops(loop, {.path = *path, .rounds = asked.rounds, .max_hops = asked.max_hops},
                    [&](probe::HopsResult result) { found.set_value(std::move(result)); });
  outcome.result = found.get_future().get();
  loop.stop();
  if (asked.names) outcome.names = look_up_names(outcome.result.hops);

  if (asked.json) {
    fmt::print("{}\n", to_json(outcome).dump());
  } else {
    if (!outcome.result.hops.empty()) fmt::print("{}", to_page(outcome));
    if (!outcome.result.reached) {
      (void)std::fflush(stdout);
      TerminalLog().error(to_failure(outcome));
    }
  }
  return outcome.result.reached ? 0 : 1;
}

}  // namespace

Run add_probe_path(CLI::App& app) {
  const auto asked = std::make_shared<PathAsked>();
  add_way_options(app, *asked);
  app.add_option("-c,--count", asked->rounds, "Probes of each hop")
      ->check(CLI::Range(1u, probe::most_rounds))
      ->capture_default_str();
  app.add_option("--max-hops", asked->max_hops, "Hops that are looked for")
      ->check(CLI::Range(1u, probe::most_hops))
      ->capture_default_str();
  app.add_flag("--names", asked->names, "Look up the names of the hops; 3 s at most");
  return [asked] { return run(*asked); };
}

}  // namespace wgvitals::cli
