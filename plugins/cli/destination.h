// Where serve puts what it gathers: a file, or the host and port of a carbon.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <variant>

#include "common/base/result.h"
#include "common/base/text.h"

namespace wgvitals::cli {

struct Endpoint {
  std::string host;  // a name, or an address without brackets
  std::uint16_t port = 0;

  friend bool operator==(const Endpoint&, const Endpoint&) = default;
};

using Destination = std::variant<std::filesystem::path, Endpoint>;

// "[2001:db8::1]:2003"
inline std::string to_text(const Endpoint& endpoint) {
  const auto& host = endpoint.host;
  const bool bare = host.find(':') == std::string::npos;
  return (bare ? host : "[" + host + "]") + ":" + std::to_string(endpoint.port);
}

// What has a '/' is a file. What has no ':' is one, too, but not where `format` also goes to a
// host: a forgotten port shall not make a file. The error says what is wrong with it.
inline Result<Destination> to_destination(std::string_view text, std::string_view format) {
  const auto refused = [](std::string why) { return Error{Errc::malformed, 0, std::move(why)}; };
  const bool to_host = format == "graphite";
  const std::string shown = "'" + std::string(text) + "' ";
  if (text.empty() || text.ends_with('/')) return refused(shown + "names no file");
  const auto colon = text.rfind(':');
  if (text.find('/') != std::string_view::npos || (colon == std::string_view::npos && !to_host)) {
    return Destination(std::filesystem::path(text));
  }
  if (!to_host) {
    return refused(shown +
                   "looks like HOST:PORT, but Prometheus fetches: write a file into "
                   "node_exporter's textfile folder, /var/lib/prometheus/node-exporter/NAME.prom "
                   "(a file with ':' in its name is written ./NAME)");
  }
  if (colon == std::string_view::npos) {
    return refused(shown + "has no port: write HOST:2003 (a file here is written ./NAME)");
  }
  auto host = text.substr(0, colon);
  const auto port = text::to_number<std::uint16_t>(text.substr(colon + 1));
  const bool bracketed = host.starts_with('[') && host.ends_with(']');
  if (bracketed) host = host.substr(1, host.size() - 2);
  if (!bracketed && host.find(':') != std::string_view::npos) {
    return refused(shown + "has several ':': an IPv6 address stands in brackets, [ADDRESS]:PORT");
  }
  if (host.empty()) return refused(shown + "names no host");
  if (port.value_or(0) == 0) return refused(shown + "has no port from 1 to 65535");
  return Destination(Endpoint{std::string(host), *port});
}

}  // namespace wgvitals::cli
