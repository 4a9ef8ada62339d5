#include "common/trace/refused.h"

#include <cstring>
#include <string>

namespace wgvitals::trace {
namespace {

Error malformed(const char* what) {
  return {Errc::malformed, 0, std::string(RefusedCounter::who) + ": " + what};
}

}  // namespace

Result<Done> parse_refused(std::span<const std::byte> key, std::span<const std::byte> values,
                           std::vector<RefusedPackets>& refused) {
  refused_key whose{};
  if (key.size() != sizeof whose) return malformed("a key of another size");
  std::memcpy(&whose, key.data(), sizeof whose);
  const auto port = static_cast<std::uint16_t>(whose.port);
  if ((whose.ifindex == 0) == (whose.port == 0) || port != whose.port) {
    return malformed("a count of no device");
  }
  if (values.size() % sizeof(refused_counts) != 0) return malformed("a count of another size");
  RefusedPackets sum{{whose.netns, whose.ifindex}, port};
  for (; !values.empty(); values = values.subspan(sizeof(refused_counts))) {
    refused_counts counts{};
    std::memcpy(&counts, values.data(), sizeof counts);
    sum.auth_failures += counts.auth_failures;
    sum.replays += counts.replays;
    sum.unknown_index += counts.unknown_index;
  }
  refused.push_back(sum);
  return Done{};
}

// drivers/net/wireguard/{queueing,noise,peerlookup,peer,device}.h
std::optional<refused_settings> derive_refused_settings(const OffsetOf& offset_of) {
  const auto state = offset_of("packet_cb", "state"), keypair = offset_of("packet_cb", "keypair"),
             entry = offset_of("noise_keypair", "entry"),
             peer = offset_of("index_hashtable_entry", "peer"),
             device = offset_of("wg_peer", "device"), dev = offset_of("wg_device", "dev");
  if (!state || !keypair || !entry || !peer || !device || !dev) return std::nullopt;
  return refused_settings{*state, *keypair, *entry + *peer, *device, *dev};
}

}  // namespace wgvitals::trace
