// What the blocks of several kinds of probes share: options, so that each is called and explained
// the same, and how they are read.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/report.h"
#include "common/base/text.h"
#include "common/collect/names.h"
#include "common/config/option.h"
#include "common/model/address.h"

namespace wgvitals::collect {

inline constexpr config::Option probe_source{"source_address",
                                             config::Takes::text,
                                             "",
                                             "Own address to send from; empty: routing decides",
                                             0,
                                             0,
                                             "",
                                             "source"};
inline constexpr config::Option probe_device{
    "device", config::Takes::text,
    "",       "Network interface to send by (SO_BINDTODEVICE); empty: routing decides",
    0,        0,
    "",       "interface"};
inline constexpr config::Option probe_mark{
    "mark",
    config::Takes::whole,
    "0",
    "Firewall mark of the packets; needs CAP_NET_ADMIN, or CAP_NET_RAW from Linux 5.17 on. 0: none",
    0,
    4'294'967'295,
    "",
    "fwmark"};
inline constexpr config::Option probe_family{"address_family",
                                             config::Takes::choice,
                                             "any",
                                             "Which addresses of a name are used",
                                             0,
                                             0,
                                             "any|ipv4|ipv6",
                                             "family"};
inline constexpr config::Option probe_slowest{
    "backoff",
    config::Takes::whole,
    "16",
    "Longest interval of a target that is dead, in intervals; one probe a gather is always sent. "
    "1: no backoff",
    1,
    64};

inline constexpr config::Option probe_labels{
    "labels",
    config::Takes::pairs,
    "",
    "Labels of these targets: labels.site = \"berlin\"; collectd: Label \"site\" \"berlin\"",
    0,
    0,
    "",
    "label"};

struct HostPort {
  std::string host;  // a name, or an address without brackets; may be empty
  std::uint16_t port = 0;
};

// "host:port", "[2001:db8::1]:port".
inline std::optional<HostPort> parse_host_port(std::string_view text) {
  const auto colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  const auto port = text::to_number<std::uint16_t>(text.substr(colon + 1));
  auto host = text.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) {
    host = host.substr(1, host.size() - 2);
  } else if (host.find_first_of("[]:") != std::string_view::npos) {
    return std::nullopt;
  }
  if (!port || *port == 0) return std::nullopt;
  return HostPort{std::string(host), *port};
}

// What is wrong in the configuration of probes; the rest of it holds.
class Mistakes {
 public:
  void add(std::string what) { errors_.push_back({Errc::malformed, 0, std::move(what)}); }
  void add(const config::Settings& block, const std::string& what) {
    const auto line = block.line();
    add((line == 0 ? "" : "line " + std::to_string(line) + ": ") + what);
  }
  void report(Report& report) const {
    for (const auto& error : errors_) report.failed(error);
  }

 private:
  std::vector<Error> errors_;
};

// Device, mark and source of a path of any kind. false where the block has a mistake: then its
// targets are not probed, rather than wrongly.
template <class Path>
bool set_path(const config::Settings& block, Path& path, Mistakes& mistakes) {
  path.device = block.text(probe_device);
  path.mark = static_cast<std::uint32_t>(block.whole(probe_mark));
  const auto& text = block.text(probe_source);
  if (text.empty()) return true;
  const auto source = parse_address(text);
  if (source) {
    path.source = *source;
  } else {
    mistakes.add(block, "source_address: '" + text + "' is no address; the block is left out");
  }
  return source.has_value();
}

// Of the addresses of names; a source address leaves its own family only.
inline AddressFamily to_family(const config::Settings& block, const Endpoint& source) {
  if (source.family != AddressFamily::none) return source.family;
  const auto& text = block.text(probe_family);
  return text == "ipv4"   ? AddressFamily::ipv4
         : text == "ipv6" ? AddressFamily::ipv6
                          : AddressFamily::none;
}

inline std::map<std::string, std::string, std::less<>> to_labels(const config::Settings& block,
                                                                 Mistakes& mistakes) {
  std::map<std::string, std::string, std::less<>> labels;
  for (const auto& row : block.rows(probe_labels)) {
    const auto why_not = refuse_label(row[0]);
    if (why_not.empty()) {
      labels[row[0]] = row[1];
    } else {
      mistakes.add(block, why_not);
    }
  }
  return labels;
}

}  // namespace wgvitals::collect
