// What was seen of WireGuard as plain lines, for tests to compare as a whole.
#pragma once

#include <sstream>
#include <string>

#include "common/model/devices.h"
#include "tests/support/keys.h"

namespace wgvitals::test {

// "key 3" for a key made by number, else base64.
inline std::string to_words(const PublicKey& seen) {
  for (std::uint32_t number = 0; number < 100; ++number) {
    if (seen == key(number)) return "key " + std::to_string(number);
  }
  const auto text = to_base64(seen);
  return std::string(view(text));
}

inline std::string to_words(const SeenPeer& peer, const Devices& devices) {
  std::ostringstream out;
  char text[longest_endpoint];
  out << to_words(peer.key) << ": " << to_text(peer.endpoint, text);
  if (peer.endpoint.scope != 0) out << '%' << peer.endpoint.scope;
  out << " rx " << peer.rx_bytes << " tx " << peer.tx_bytes << " handshake ";
  if (peer.has_handshake) {
    out << peer.handshake_ns;
  } else {
    out << "never";
  }
  out << " keepalive " << peer.keepalive_s << " version " << peer.protocol_version
      << (peer.preshared_key_set ? " psk" : "") << " [";
  for (std::uint32_t i = 0; i < peer.prefix_count; ++i) {
    if (i > 0) out << ' ';
    out << to_text(devices.prefixes[peer.first_prefix + i], text);
  }
  out << ']';
  return out.str();
}

// A line for each device, one below it for each of its peers, one for each that was unread.
inline std::string to_words(const Devices& devices) {
  std::ostringstream out;
  for (const auto& device : devices.devices) {
    out << device.name << (device.netns.empty() ? "" : "@" + device.netns) << " port "
        << device.listen_port << " mark " << device.fwmark
        << (device.userspace ? " userspace" : " kernel")
        << (device.handshakes_are_ages ? " ages" : "");
    if (device.link) out << " link " << device.link->index;
    out << '\n';
    for (const auto& peer : devices.peers_of(device)) {
      out << "  " << to_words(peer, devices) << '\n';
    }
  }
  for (const auto& one : devices.unread) out << "unread " << one.place << ' ' << one.index << '\n';
  return out.str();
}

}  // namespace wgvitals::test
