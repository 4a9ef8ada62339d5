#include "common/kernel/wireguard_netlink.h"

#include <linux/genetlink.h>
#include <linux/wireguard.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "common/base/capabilities.h"
#include "common/base/text.h"

namespace wgvitals::kernel {
namespace {

constexpr int most_tries = 3;

Error wrong_size(const char* what) { return {Errc::malformed, 0, std::string("size of ") + what}; }

bool get_endpoint(const nlattr& attribute, Endpoint& endpoint) {
  sockaddr_in ipv4{};
  sockaddr_in6 ipv6{};
  if (get_attribute(attribute, ipv4) && ipv4.sin_family == AF_INET) {
    endpoint.family = AddressFamily::ipv4;
    endpoint.port = ntohs(ipv4.sin_port);
    std::memcpy(endpoint.address.data(), &ipv4.sin_addr, sizeof ipv4.sin_addr);
    return true;
  }
  if (get_attribute(attribute, ipv6) && ipv6.sin6_family == AF_INET6) {
    endpoint.family = AddressFamily::ipv6;
    endpoint.port = ntohs(ipv6.sin6_port);
    endpoint.scope = ipv6.sin6_scope_id;
    std::memcpy(endpoint.address.data(), &ipv6.sin6_addr, sizeof ipv6.sin6_addr);
    return true;
  }
  return false;
}

// True where any of the 32 bytes is set: asked of the buffer itself, so that no copy is made.
bool get_key_is_set(const nlattr& attribute, bool& set) {
  if (payload_size(attribute) != WG_KEY_LEN) return false;
  const auto* words = static_cast<const volatile std::uint32_t*>(payload(attribute));
  std::uint32_t bits = 0;
  for (std::size_t i = 0; i < WG_KEY_LEN / sizeof *words; ++i) bits |= words[i];
  set = bits != 0;
  return true;
}

std::optional<Prefix> parse_allowed_ip(const nlattr& nest) {
  Prefix prefix;
  std::uint16_t family = AF_UNSPEC;
  std::size_t bytes = 0;
  const bool whole = for_each_nested(nest, [&](const nlattr& attribute) {
    switch (type_of(attribute)) {
      case WGALLOWEDIP_A_FAMILY:
        return get_attribute(attribute, family);
      case WGALLOWEDIP_A_IPADDR:
        bytes = payload_size(attribute);
        if (bytes != 4 && bytes != 16) return false;
        std::memcpy(prefix.address.data(), payload(attribute), bytes);
        return true;
      case WGALLOWEDIP_A_CIDR_MASK:
        return get_attribute(attribute, prefix.length);
      default:
        return true;
    }
  });
  if (!whole) return std::nullopt;
  if (family == AF_INET && bytes == 4 && prefix.length <= 32) {
    prefix.family = AddressFamily::ipv4;
    return prefix;
  }
  if (family == AF_INET6 && bytes == 16 && prefix.length <= 128) {
    prefix.family = AddressFamily::ipv6;
    return prefix;
  }
  return std::nullopt;
}

bool parse_allowed_ips(const nlattr& nest, std::vector<Prefix>& out) {
  return for_each_nested(nest, [&](const nlattr& one) {
    const auto prefix = parse_allowed_ip(one);
    if (prefix) out.push_back(*prefix);
    return prefix.has_value();
  });
}

// The size of attributes is checked here, once for all: `wrong` names the first that is off.
struct PeerParser {
  SeenPeer& peer;
  const nlattr* allowed_ips = nullptr;
  bool has_key = false;
  const char* wrong = nullptr;

  bool take(const nlattr& attribute) {
    const auto check = [&](bool right, const char* what) {
      if (!right) wrong = what;
      return right;
    };
    switch (type_of(attribute)) {
      case WGPEER_A_PUBLIC_KEY:
        has_key = get_attribute(attribute, peer.key.bytes);
        return check(has_key, "WGPEER_A_PUBLIC_KEY");
      case WGPEER_A_PRESHARED_KEY:
        return check(get_key_is_set(attribute, peer.preshared_key_set), "WGPEER_A_PRESHARED_KEY");
      case WGPEER_A_ENDPOINT:
        return check(get_endpoint(attribute, peer.endpoint), "WGPEER_A_ENDPOINT");
      case WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL:
        return check(get_attribute(attribute, peer.keepalive_s),
                     "WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL");
      case WGPEER_A_LAST_HANDSHAKE_TIME: {
        struct {
          std::int64_t seconds, nanoseconds;  // __kernel_timespec
        } time{};
        constexpr std::int64_t second = 1'000'000'000;
        const bool possible = get_attribute(attribute, time) && time.seconds >= 0 &&
                              time.seconds < INT64_MAX / second - 1 && time.nanoseconds >= 0 &&
                              time.nanoseconds < second;
        if (!check(possible, "WGPEER_A_LAST_HANDSHAKE_TIME")) return false;
        peer.has_handshake = time.seconds > 0 || time.nanoseconds > 0;
        peer.handshake_ns = time.seconds * second + time.nanoseconds;
        return true;
      }
      case WGPEER_A_RX_BYTES:
        return check(get_attribute(attribute, peer.rx_bytes), "WGPEER_A_RX_BYTES");
      case WGPEER_A_TX_BYTES:
        return check(get_attribute(attribute, peer.tx_bytes), "WGPEER_A_TX_BYTES");
      case WGPEER_A_PROTOCOL_VERSION:
        return check(get_attribute(attribute, peer.protocol_version), "WGPEER_A_PROTOCOL_VERSION");
      case WGPEER_A_ALLOWEDIPS:
        allowed_ips = &attribute;
        return true;
      default:
        return true;
    }
  }
};

Result<Done> parse_peer(const nlattr& nest, SeenDevice& device, Devices& out) {
  SeenPeer peer;
  PeerParser parser{peer};
  if (!for_each_nested(nest, [&](const nlattr& attribute) { return parser.take(attribute); })) {
    return wrong_size(parser.wrong != nullptr ? parser.wrong : "a peer's attributes");
  }
  if (!parser.has_key) return Error{Errc::malformed, 0, "a peer without WGPEER_A_PUBLIC_KEY"};
  const bool continued = device.peer_count > 0 && out.peers.back().key == peer.key;
  if (!continued) {
    peer.first_prefix = static_cast<std::uint32_t>(out.prefixes.size());
    out.peers.push_back(peer);
    ++device.peer_count;
  }
  if (parser.allowed_ips != nullptr && !parse_allowed_ips(*parser.allowed_ips, out.prefixes)) {
    return wrong_size("WGPEER_A_ALLOWEDIPS");
  }
  auto& last = out.peers.back();
  last.prefix_count = static_cast<std::uint32_t>(out.prefixes.size()) - last.first_prefix;
  return Done{};
}

// What a failed try added to the peers goes away again.
void drop_peers(SeenDevice& device, Devices& out) {
  if (device.peer_count > 0) out.prefixes.resize(out.peers[device.first_peer].first_prefix);
  out.peers.resize(device.first_peer);
  device.peer_count = 0;
}

}  // namespace

Result<Done> parse_device_message(const nlmsghdr& message, SeenDevice& device, Devices& out) {
  if (::mnl_nlmsg_get_payload_len(&message) < sizeof(genlmsghdr)) return wrong_size("a message");
  Result<Done> result = Done{};
  const auto fail = [&](const char* what) {
    result = wrong_size(what);
    return false;
  };
  const bool whole = for_each_attribute(
      ::mnl_nlmsg_get_payload_offset(&message, sizeof(genlmsghdr)),
      ::mnl_nlmsg_get_payload_len(&message) - MNL_ALIGN(sizeof(genlmsghdr)),
      [&](const nlattr& attribute) {
        switch (type_of(attribute)) {
          case WGDEVICE_A_PUBLIC_KEY:
            return get_attribute(attribute, device.key.emplace().bytes) ||
                   fail("WGDEVICE_A_PUBLIC_KEY");
          case WGDEVICE_A_LISTEN_PORT:
            return get_attribute(attribute, device.listen_port) || fail("WGDEVICE_A_LISTEN_PORT");
          case WGDEVICE_A_FWMARK:
            return get_attribute(attribute, device.fwmark) || fail("WGDEVICE_A_FWMARK");
          case WGDEVICE_A_PEERS:
            return for_each_nested(attribute, [&](const nlattr& peer) {
              if (result) result = parse_peer(peer, device, out);
              return result.has_value();
            });
          default:
            return true;
        }
      });
  if (!whole && result) return wrong_size("a device's attributes");
  return result;
}

KernelWireGuard::KernelWireGuard(OpenNetlink open, const std::string& netns, std::uint64_t place)
    : route_(open, NETLINK_ROUTE),
      generic_(std::move(open), NETLINK_GENERIC),
      netns_(text::to_printable(netns)),
      place_(place) {}

void KernelWireGuard::read(const Selection& interfaces, Devices& out, Report& report) {
  auto links = read_links(route_, WG_GENL_NAME);
  for (int tries = 1; !links && links.error().code == Errc::interrupted && tries < most_tries;
       ++tries) {
    report.retried();
    links = read_links(route_, WG_GENL_NAME);
  }
  if (!links) {
    out.unread.push_back({place_, 0});
    report.failed(with_netns(links.error()));
    return;
  }
  for (auto& link : *links) {
    if (interfaces.wants(link.name) && is_tellable(link.name, report)) {
      read_device(std::move(link), out, report);
    }
  }
}

// Fails in the words of read(), so that what ails the namespace is said once.
Result<Link> KernelWireGuard::find_link(std::string_view name) {
  auto link = read_link(route_, name);
  if (!link) return with_netns(link.error());
  return link;
}

Error KernelWireGuard::with_netns(Error error) const {
  if (!netns_.empty()) error.where = "netns " + netns_ + ": " + error.where;
  return error;
}

void KernelWireGuard::read_device(Link link, Devices& out, Report& report) {
  SeenDevice device;
  device.name = link.name;
  device.netns = netns_;
  device.identity = {place_, link.index};
  device.link = std::move(link);
  device.first_peer = static_cast<std::uint32_t>(out.peers.size());

  const auto read_once = [&]() -> Result<Done> {
    const bool known = family_.has_value();
    const auto id = family();
    if (!id) return id.error();
    auto dumped = dump(*id, device, out);
    if (!dumped) drop_peers(device, out);
    if (!dumped && known && dumped.error().code == Errc::absent &&
        dumped.error().number != ENODEV) {
      family_.reset();  // the module was loaded anew, under another number
      return Error{Errc::interrupted, 0, "the module was loaded anew"};
    }
    return dumped;
  };
  auto outcome = read_once();
  for (int tries = 1; !outcome && outcome.error().code == Errc::interrupted && tries < most_tries;
       ++tries) {
    report.retried();
    outcome = read_once();
  }
  if (outcome) {
    out.devices.push_back(std::move(device));
    return;
  }
  if (outcome.error().code == Errc::absent) {
    family_.reset();
    generic_.close();
    return;
  }
  out.unread.push_back(device.identity);
  report.failed(explain(outcome.error(), device.name));
}

// Asked only where a link of the kind exists: the question itself would make the kernel load the
// module (net/netlink/genetlink.c).
Result<std::uint16_t> KernelWireGuard::family() {
  if (family_) return *family_;
  NetlinkRequest request(GENL_ID_CTRL, NLM_F_ACK);
  auto& header = request.extra_header<genlmsghdr>();
  header.cmd = CTRL_CMD_GETFAMILY;
  header.version = 1;
  ::mnl_attr_put_strz(request.header(), CTRL_ATTR_FAMILY_NAME, WG_GENL_NAME);
  std::optional<std::uint16_t> id;
  const auto asked = generic_.ask(request, [&](const nlmsghdr& message) -> Result<Done> {
    for_each_attribute(
        ::mnl_nlmsg_get_payload_offset(&message, sizeof(genlmsghdr)),
        ::mnl_nlmsg_get_payload_len(&message) - MNL_ALIGN(sizeof(genlmsghdr)),
        [&](const nlattr& attribute) {
          std::uint16_t value = 0;
          if (type_of(attribute) == CTRL_ATTR_FAMILY_ID && get_attribute(attribute, value)) {
            id = value;
          }
          return true;
        });
    return Done{};
  });
  if (!asked) return asked.error();
  if (!id) return Error{Errc::malformed, 0, "generic netlink: a family without number"};
  family_ = id;
  return *id;
}

Result<Done> KernelWireGuard::dump(std::uint16_t family, SeenDevice& device, Devices& out) {
  NetlinkRequest request(family, NLM_F_DUMP);
  auto& header = request.extra_header<genlmsghdr>();
  header.cmd = WG_CMD_GET_DEVICE;
  header.version = WG_GENL_VERSION;
  ::mnl_attr_put_u32(request.header(), WGDEVICE_A_IFINDEX, device.identity.index);
  return generic_.ask(
      request, [&](const nlmsghdr& message) { return parse_device_message(message, device, out); });
}

Error KernelWireGuard::explain(Error error, const std::string& device) const {
  std::string where = netns_.empty() ? device : device + "@" + netns_;
  switch (error.code) {
    case Errc::denied:
      // Without the device: it is the same for all of them, and said once.
      error.where =
          (netns_.empty() ? "kernel peers" : "kernel peers of netns " + netns_) +
          ": reading them needs CAP_NET_ADMIN: " + to_grant(std::array{Capability::net_admin}) +
          " (see 'wgvitals check')";
      break;
    case Errc::interrupted:
      error.where = where + ": peers changed during each of " + std::to_string(most_tries) +
                    " readings; left out this time";
      break;
    default:
      error.where = where + ": " + error.where;
  }
  return error;
}

}  // namespace wgvitals::kernel
