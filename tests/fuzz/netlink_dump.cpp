// A WG_CMD_GET_DEVICE dump built from the fuzzer's bytes: whole messages with odd contents, which
// must give what was put in, and now and then an attribute of a wrong size, which must be seen.

#include "common/kernel/wireguard_netlink.h"
#include "tests/fuzz/bytes.h"
#include "tests/fuzz/check.h"
#include "tests/support/keys.h"
#include "tests/support/netlink_messages.h"

namespace wgvitals::fuzz {
namespace {

using test::MessageBuilder;

constexpr int most_attributes = 500;  // of one message: it stays within the kernel's 32 KiB

class Dump {
 public:
  explicit Dump(Bytes& in) : in_(in) {}

  test::Message message() {
    auto builder = test::device_builder(31);
    room_ = most_attributes;
    while (go_on()) add_device_attribute(builder);
    return builder.message();
  }
  bool is_well() const { return well_; }

  // What the messages so far say.
  SeenDevice device;
  Devices devices;

 private:
  bool go_on() { return well_ && in_.more() && --room_ > 0 && in_.below(16) != 0; }
  bool holds(bool right) {
    well_ = well_ && right;
    return right;
  }

  // A number of any value.
  template <class T>
  void put(MessageBuilder& to, int type, T& said) {
    const auto value = in_.number<T>();
    if (holds(!in_.rarely())) {
      to.put(type, value);
      said = value;
    } else {
      to.put_bytes(type, &value, in_.below(sizeof value));
    }
  }
  void put_bytes(MessageBuilder& to, int type) {
    const auto bytes = in_.text();
    to.put_bytes(type, bytes.data(), bytes.size());
  }

  void add_device_attribute(MessageBuilder& to) {
    test::Key key{};
    switch (in_.below(8)) {
      case 0:
        return put(to, WGDEVICE_A_LISTEN_PORT, device.listen_port);
      case 1:
        return put(to, WGDEVICE_A_FWMARK, device.fwmark);
      case 2:
        to.put(WGDEVICE_A_PRIVATE_KEY, key);
        return;
      case 3:
        return put_bytes(to, static_cast<int>(WGDEVICE_A_PEERS + 1 + in_.below(100)));
      default:
        to.nest(WGDEVICE_A_PEERS, [&](MessageBuilder& list) {
          while (go_on()) list.nest(0, [&](MessageBuilder& peer) { add_peer(peer); });
        });
    }
  }

  void add_peer(MessageBuilder& to) {
    SeenPeer peer;
    std::vector<Prefix> prefixes;
    bool has_key = false;
    if (!in_.rarely()) put_key(to, peer, has_key);
    while (go_on()) add_peer_attribute(to, peer, prefixes, has_key);
    if (!holds(has_key) || !well_) return;
    auto& peers = devices.peers;
    if (peers.empty() || !(peers.back().key == peer.key)) {
      peer.first_prefix = static_cast<std::uint32_t>(devices.prefixes.size());
      peers.push_back(peer);
    }
    peers.back().prefix_count += static_cast<std::uint32_t>(prefixes.size());
    devices.prefixes.insert(devices.prefixes.end(), prefixes.begin(), prefixes.end());
  }

  void put_key(MessageBuilder& to, SeenPeer& peer, bool& has_key) {
    peer.key = test::key(static_cast<std::uint32_t>(in_.below(4)));
    has_key = true;
    to.put(WGPEER_A_PUBLIC_KEY, peer.key.bytes);
  }

  // A repeated attribute goes before the earlier one.
  void add_peer_attribute(MessageBuilder& to, SeenPeer& peer, std::vector<Prefix>& prefixes,
                          bool& has_key) {
    switch (in_.below(11)) {
      case 0:
        return put_key(to, peer, has_key);
      case 1: {
        test::Key psk{};
        psk.back() = in_.number<std::uint8_t>();
        peer.preshared_key_set = psk.back() != 0;
        to.put(WGPEER_A_PRESHARED_KEY, psk);
        return;
      }
      case 2:  // never repeated: one of the other family would keep its bytes
        if (peer.endpoint.family == AddressFamily::none) put_endpoint(to, peer.endpoint);
        return;
      case 3:
        return put(to, WGPEER_A_PERSISTENT_KEEPALIVE_INTERVAL, peer.keepalive_s);
      case 4:
        return put_handshake(to, peer);
      case 5:
        return put(to, WGPEER_A_RX_BYTES, peer.rx_bytes);
      case 6:
        return put(to, WGPEER_A_TX_BYTES, peer.tx_bytes);
      case 7:
        return put(to, WGPEER_A_PROTOCOL_VERSION, peer.protocol_version);
      case 8:
        return put_bytes(to, static_cast<int>(WGPEER_A_PROTOCOL_VERSION + 1 + in_.below(100)));
      default:
        prefixes.clear();
        to.nest(WGPEER_A_ALLOWEDIPS, [&](MessageBuilder& list) {
          while (go_on()) {
            list.nest(0, [&](MessageBuilder& one) { prefixes.push_back(put_allowed_ip(one)); });
          }
        });
    }
  }

  void put_endpoint(MessageBuilder& to, Endpoint& said) {
    Endpoint endpoint;
    endpoint.port = in_.number<std::uint16_t>();
    const bool right = !in_.rarely();
    if (in_.flag()) {
      endpoint.family = AddressFamily::ipv4;
      const auto address = in_.number<std::uint32_t>();
      std::memcpy(endpoint.address.data(), &address, sizeof address);
      sockaddr_in ipv4{};
      ipv4.sin_family = right ? AF_INET : AF_INET6;
      ipv4.sin_port = htons(endpoint.port);
      ipv4.sin_addr.s_addr = address;
      to.put(WGPEER_A_ENDPOINT, ipv4);
    } else {
      endpoint.family = AddressFamily::ipv6;
      endpoint.address = in_.number<decltype(endpoint.address)>();
      endpoint.scope = in_.number<std::uint32_t>();
      sockaddr_in6 ipv6{};
      ipv6.sin6_family = right ? AF_INET6 : AF_UNSPEC;
      ipv6.sin6_port = htons(endpoint.port);
      ipv6.sin6_scope_id = endpoint.scope;
      std::memcpy(&ipv6.sin6_addr, endpoint.address.data(), endpoint.address.size());
      to.put(WGPEER_A_ENDPOINT, ipv6);
    }
    if (holds(right)) said = endpoint;
  }

  void put_handshake(MessageBuilder& to, SeenPeer& peer) {
    constexpr std::int64_t second = 1'000'000'000;
    struct {
      std::int64_t seconds, nanoseconds;
    } time{in_.number<std::uint32_t>(), in_.number<std::uint32_t>()};
    if (in_.rarely()) time.seconds = in_.number<std::int64_t>();
    to.put(WGPEER_A_LAST_HANDSHAKE_TIME, time);
    // Beyond the year 2262 an int64 of nanoseconds ends.
    if (!holds(time.seconds >= 0 && time.seconds < INT64_MAX / second - 1 &&
               time.nanoseconds < second)) {
      return;
    }
    peer.handshake_ns = time.seconds * second + time.nanoseconds;
    peer.has_handshake = peer.handshake_ns != 0;
  }

  Prefix put_allowed_ip(MessageBuilder& to) {
    Prefix prefix;
    const bool ipv4 = in_.flag();
    const std::size_t bytes = in_.rarely() ? in_.below(20) : ipv4 ? 4 : 16;
    const auto address = in_.number<std::array<std::uint8_t, 20>>();
    prefix.family = ipv4 ? AddressFamily::ipv4 : AddressFamily::ipv6;
    prefix.length = in_.number<std::uint8_t>();
    std::copy_n(address.begin(), std::min(bytes, prefix.address.size()), prefix.address.begin());
    to.put(WGALLOWEDIP_A_FAMILY, static_cast<std::uint16_t>(ipv4 ? AF_INET : AF_INET6))
        .put_bytes(WGALLOWEDIP_A_IPADDR, address.data(), bytes)
        .put(WGALLOWEDIP_A_CIDR_MASK, prefix.length);
    holds(bytes == (ipv4 ? 4 : 16) && prefix.length <= (ipv4 ? 32 : 128));
    return prefix;
  }

  Bytes& in_;
  bool well_ = true;
  int room_ = 0;
};

bool same(const SeenPeer& a, const SeenPeer& b) {
  return a.key == b.key && a.endpoint == b.endpoint && a.rx_bytes == b.rx_bytes &&
         a.tx_bytes == b.tx_bytes && a.handshake_ns == b.handshake_ns &&
         a.first_prefix == b.first_prefix && a.prefix_count == b.prefix_count &&
         a.protocol_version == b.protocol_version && a.keepalive_s == b.keepalive_s &&
         a.has_handshake == b.has_handshake && a.preshared_key_set == b.preshared_key_set;
}

void parse_what_was_built(Bytes& in) {
  Dump built(in);
  SeenDevice device;
  Devices seen;
  for (int left = 4; left > 0 && in.more() && built.is_well(); --left) {
    const auto message = built.message();
    const auto parsed = kernel::parse_device_message(test::header_of(message), device, seen);
    check(parsed.has_value() == built.is_well(), "refused is what is damaged");
    check(device.peer_count == seen.peers.size(), "every peer is counted");
  }
  if (!built.is_well()) return;
  check(device.listen_port == built.device.listen_port && device.fwmark == built.device.fwmark,
        "the device is what was built");
  check(std::equal(seen.peers.begin(), seen.peers.end(), built.devices.peers.begin(),
                   built.devices.peers.end(), same),
        "the peers are what was built");
  check(seen.prefixes == built.devices.prefixes, "the prefixes are what was built");
}

}  // namespace
}  // namespace wgvitals::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  wgvitals::fuzz::Bytes in(data, size);
  wgvitals::fuzz::parse_what_was_built(in);
  return 0;
}
