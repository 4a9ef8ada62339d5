// wgvitals probe mtu: the largest packet that passes, and what a tunnel over this path may have.

#include <fmt/format.h>

#include <algorithm>
#include <future>
#include <memory>
#include <nlohmann/json.hpp>

#include "common/base/text.h"
#include "common/probe/mtu.h"
#include "plugins/cli/commands.h"
#include "plugins/cli/way.h"

namespace wgvitals::cli {
namespace {

using Found = probe::MtuResult::Found;

constexpr std::uint32_t least_ipv6_mtu = 1280;  // RFC 8200

struct Outcome {
  std::string host, address, title;
  AddressFamily family = AddressFamily::none;
  probe::MtuResult result;
  std::optional<LocalWay> local;  // after the search, as the kernel knows it by then
};

std::string to_text_address(const Endpoint& endpoint) {
  char text[longest_endpoint];
  return std::string(to_address_text(endpoint, text));
}

std::uint32_t tunnel_mtu(const Outcome& outcome) {
  return outcome.result.mtu - probe::wireguard_overhead(outcome.family);
}

const char* to_word(Found found) {
  constexpr const char* words[] = {"nothing", "whole", "icmp", "search"};
  return words[static_cast<std::size_t>(found)];
}

std::string to_how(const Outcome& outcome) {
  const auto& result = outcome.result;
  switch (result.found) {
    case Found::whole:
      return "the own link's whole MTU passes";
    case Found::told:
      return fmt::format("{} says so by ICMP, and it passes", to_text_address(result.told_by));
    case Found::searched:
      return "BLACK HOLE: larger packets vanish, and no ICMP tells; found by search";
    case Found::nothing:
      break;
  }
  return "";
}

std::string to_failure(const Outcome& outcome) {
  const auto& result = outcome.result;
  std::string text = outcome.title + ": no path MTU: ";
  text += result.error ? to_text(*result.error) : "it does not answer pings";
  if (result.told != 0) {
    text += fmt::format("; but {} says by ICMP that packets over {} bytes do not pass",
                        to_text_address(result.told_by), result.told);
  }
  return text;
}

std::string to_page(const Outcome& outcome) {
  const auto& result = outcome.result;
  auto page = fmt::format("{}: path MTU {}\n  how        {} ({} probes)\n", outcome.title,
                          result.mtu, to_how(outcome), result.probes);
  if (const auto& local = outcome.local) {
    page += fmt::format("  leaves     {}\n  kernel     believes {} (link {})", to_text(*local),
                        local->path_mtu, local->link_mtu);
    constexpr std::uint32_t longest_packet = 65'535;  // loopback's MTU is one more
    if (std::min(local->path_mtu, longest_packet) > result.mtu)
      page += ": TCP hangs here unless its MSS is clamped";
    page += '\n';
  }
  page += fmt::format("  WireGuard  MTU {} fits an endpoint on this path ({} less)",
                      tunnel_mtu(outcome), probe::wireguard_overhead(outcome.family));
  if (tunnel_mtu(outcome) < least_ipv6_mtu) page += "; below 1280 there is no IPv6 inside";
  return page + '\n';
}

nlohmann::ordered_json to_json(const Outcome& outcome) {
  const auto& result = outcome.result;
  nlohmann::ordered_json object{{"url", outcome.host},
                                {"resolved_address", outcome.address},
                                {"found", to_word(result.found)},
                                {"probes", result.probes}};
  if (result.mtu != 0) {
    object["path_mtu"] = result.mtu;
    object["wireguard_mtu"] = tunnel_mtu(outcome);
  }
  if (result.told != 0) {
    object["icmp_mtu"] = result.told;
    object["icmp_from"] = to_text_address(result.told_by);
  }
  if (const auto& local = outcome.local) {
    object["via_device"] = local->device;
    object["kernel_path_mtu"] = local->path_mtu;
    object["link_mtu"] = local->link_mtu;
    object["nested"] = local->tunnels.size();
  }
  if (result.error) object["error"] = text::to_printable(to_text(*result.error));
  return object;
}

int run(const WayAsked& asked) {
  const auto path = to_echo_path(asked);
  if (!path) {
    TerminalLog().error(to_text(path.error()));
    return 1;
  }
  Outcome outcome{text::to_printable(asked.host),
                  to_text_address(path->to),
                  to_title(asked, *path),
                  path->to.family,
                  {},
                  {}};
  probe::Loop loop(start_plain_thread, std::make_shared<TerminalLog>());
  std::promise<probe::MtuResult> found;
  probe::search_mtu(loop, {.path = *path},
                    [&](probe::MtuResult result) { found.set_value(std::move(result)); });
  outcome.result = found.get_future().get();
  loop.stop();
  if (auto local = read_local_way(*path)) outcome.local = std::move(*local);

  const bool well = outcome.result.found != Found::nothing;
  if (asked.json) {
    fmt::print("{}\n", to_json(outcome).dump());
  } else if (well) {
    fmt::print("{}", to_page(outcome));
  } else {
    TerminalLog().error(to_failure(outcome));
  }
  return well ? 0 : 1;
}

}  // namespace

Run add_probe_mtu(CLI::App& app) {
  const auto asked = std::make_shared<WayAsked>();
  add_way_options(app, *asked);
  return [asked] { return run(*asked); };
}

}  // namespace wgvitals::cli
