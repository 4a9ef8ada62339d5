#include "plugins/cli/table.h"

#include <fmt/format.h>

#include <algorithm>

#include "common/output/identity.h"

namespace wgvitals::cli {
namespace {

constexpr std::size_t name_width = 19;
constexpr std::size_t endpoint_width = 21;
constexpr double session_s = 180;  // REJECT_AFTER_TIME (drivers/net/wireguard/messages.h)

// The number of characters, not of bytes.
std::size_t width_of(std::string_view text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

std::string fit(std::string_view text, std::size_t width) {
  if (width_of(text) <= width) {
    return std::string(text) + std::string(width - width_of(text), ' ');
  }
  std::string cut;
  std::size_t shown = 0;
  for (const char c : text) {
    if ((c & 0xc0) != 0x80 && ++shown > width - 2) break;
    cut += c;
  }
  return cut + "..";
}

}  // namespace

std::string to_human_bytes(std::int64_t bytes) {
  if (bytes < 1024) return fmt::format("{} B", bytes);
  auto size = static_cast<double>(bytes);
  const char* unit = "";
  for (const char* next : {"KiB", "MiB", "GiB", "TiB", "PiB"}) {
    if (size < 1024) break;
    size /= 1024;
    unit = next;
  }
  return fmt::format("{:.{}f} {}", size, size < 99.95 ? 1 : 0, unit);
}

std::string to_human_ms(double ms) {
  return fmt::format("{:.{}f}", ms, ms < 1 ? 3 : ms < 10 ? 2 : ms < 100 ? 1 : 0);
}

std::string to_human_age(double seconds) {
  const auto s = static_cast<std::int64_t>(seconds);
  if (s < 60) return fmt::format("{}s", s);
  if (s < 3600) return fmt::format("{}m {:02}s", s / 60, s % 60);
  if (s < 86'400) return fmt::format("{}h {:02}m", s / 3600, s % 3600 / 60);
  return fmt::format("{}d {:02}h", s / 86'400, s % 86'400 / 3600);
}

Table::DeviceRow& Table::device(const std::string& place) {
  const auto known = std::find_if(devices_.begin(), devices_.end(),
                                  [&](const DeviceRow& row) { return row.place == place; });
  if (known != devices_.end()) return *known;
  devices_.emplace_back().place = place;
  return devices_.back();
}

void Table::take(const Record& record) {
  const auto family = record.family.name.view();
  if (family == "wireguard_device") take_device(record);
  if (family == "wireguard_peer") take_peer(record);
  if (family == "ping") take_ping(record);
}

void Table::take_device(const Record& record) {
  const auto identity = output::to_identity(record, true);
  auto& row = device(identity.place());
  if (!identity.others.empty()) row.type = identity.others.front();
  for (const auto& [metric, value] : record.readings) {
    const auto field = metric->field.view();
    if (field == "listen_port") row.listen_port = value.i64();
    if (field == "peers") row.peers = value.i64();
    if (field == "mtu") row.mtu = value.i64();
    if (field == "link_up") row.link_up = static_cast<int>(value.i64());
  }
}

// A peer comes in two records, one behind the other.
void Table::take_peer(const Record& record) {
  const auto identity = output::to_identity(record, true);
  auto& rows = device(identity.place()).rows;
  const std::string name(identity.friendly_name.empty() ? identity.public_key
                                                        : identity.friendly_name);
  if (rows.empty() || rows.back().name != name) rows.push_back({name, "-"});
  auto& row = rows.back();
  for (const auto& [metric, value] : record.readings) {
    const auto field = metric->field.view();
    if (field == "endpoint") row.endpoint = value.text();
    if (field == "rx_bytes") row.rx_bytes = value.i64();
    if (field == "tx_bytes") row.tx_bytes = value.i64();
    if (field == "handshake_age_s") row.handshake_age_s = value.f64();
  }
}

void Table::take_ping(const Record& record) {
  if (record.readings.front().metric->type == Type::text) return;
  const auto identity = output::to_identity(record, true);
  auto& row = pings_.emplace_back();
  const auto peer = identity.safe_peer();
  row.name = peer.empty() ? std::string(identity.others.front()) : peer;
  row.place = identity.place();
  for (const auto& [metric, value] : record.readings) {
    const auto field = metric->field.view();
    if (field == "percent_packet_loss") row.loss = value.f64();
    if (field == "average_response_ms") row.average = value.f64();
    if (field == "percentile95_ms") row.percentile95 = value.f64();
    if (field == "maximum_response_ms") row.maximum = value.f64();
  }
}

std::string Table::text(bool colour) const {
  const auto paint = [&](const char* code, const std::string& text) {
    return colour ? fmt::format("\033[{}m{}\033[0m", code, text) : text;
  };
  std::string text;
  if (devices_.empty()) text += "No WireGuard devices here.\n";
  for (const auto& device : devices_) {
    if (&device != &devices_.front()) text += '\n';
    const auto state = device.link_up < 0   ? std::string("link in another namespace")
                       : device.link_up > 0 ? paint("32", "up")
                                            : paint("31", "down");
    text += fmt::format("{}  {}  port {}  {} {}{}  {}\n", paint("1", device.place),
                        device.type == "userspace" ? "userspace" : "kernel", device.listen_port,
                        device.peers, device.peers == 1 ? "peer" : "peers",
                        device.mtu > 0 ? fmt::format("  mtu {}", device.mtu) : "", state);
    if (device.rows.empty()) continue;
    text += paint("2", fmt::format("  {}  {:>10}  {:>9}  {:>9}  {}", fit("PEER", name_width),
                                   "HANDSHAKE", "RECEIVED", "SENT", "ENDPOINT")) +
            "\n";
    for (const auto& row : device.rows) {
      const bool never = row.handshake_age_s < 0;
      const auto age = fmt::format("{:>10}", never ? "never" : to_human_age(row.handshake_age_s));
      text +=
          fmt::format("  {}  {}  {:>9}  {:>9}  {}\n", fit(row.name, name_width),
                      paint(never                             ? "2"
                            : row.handshake_age_s < session_s ? "32"
                                                              : "33",
                            age),
                      to_human_bytes(row.rx_bytes), to_human_bytes(row.tx_bytes),
                      width_of(row.endpoint) > endpoint_width ? fit(row.endpoint, endpoint_width)
                                                              : row.endpoint);
    }
  }
  if (pings_.empty()) return text;
  text += '\n' +
          paint("2", fmt::format("  {}  {:>10}  {:>9}  {:>9}  {:>9}  {}", fit("PING", name_width),
                                 "LOSS", "MEAN", "P95", "LONGEST", "DEVICE")) +
          '\n';
  const auto time = [](double ms) { return ms < 0 ? "-" : to_human_ms(ms) + " ms"; };
  for (const auto& row : pings_) {
    const auto loss =
        fmt::format("{:>10}", row.loss < 0 ? "not sent" : fmt::format("{:.3g}%", row.loss));
    text += fmt::format("  {}  {}  {:>9}  {:>9}  {:>9}  {}\n", fit(row.name, name_width),
                        paint(row.loss == 0                    ? "32"
                              : row.loss > 0 && row.loss < 100 ? "33"
                                                               : "31",
                              loss),
                        time(row.average), time(row.percentile95), time(row.maximum),
                        row.place.empty() ? "-" : row.place);
  }
  return text;
}

}  // namespace wgvitals::cli
