#include "common/trace/work_paths.h"

#include <cstddef>

namespace wgvitals::trace {
namespace {

// Two members' distance, where both are there.
struct Distance {
  bool known = false;
  std::int32_t bytes = 0;
};

Distance distance(const OffsetOf& offset_of, const char* type, const char* from, const char* to) {
  const auto begin = offset_of(type, from), end = offset_of(type, to);
  if (!begin || !end) return {};
  return {true, static_cast<std::int32_t>(*end) - static_cast<std::int32_t>(*begin)};
}

work_path join(const Distance& first, const Distance& second, work_kind kind) {
  if (!first.known || !second.known) return {};
  return {first.bytes, second.bytes, 1, static_cast<__u32>(kind)};
}

}  // namespace

WorkPaths derive_paths(const OffsetOf& offset_of) {
  // A CPU's work for all peers: the item's neighbour points to the queue, which is the device's.
  const auto to_queue = distance(offset_of, "multicore_worker", "work", "ptr");
  const auto of_queue = [&](const char* queue, work_kind kind) {
    return join(to_queue, distance(offset_of, "wg_device", queue, "dev"), kind);
  };
  // A peer's own work: the item is part of the peer, which points to the device.
  const auto dev = offset_of("wg_device", "dev");
  const Distance to_dev{dev.has_value(), static_cast<std::int32_t>(dev.value_or(0))};
  const auto of_peer = [&](const char* work, work_kind kind) {
    return join(distance(offset_of, "wg_peer", work, "device"), to_dev, kind);
  };
  return {of_queue("encrypt_queue", work_encrypt), of_queue("decrypt_queue", work_decrypt),
          of_peer("transmit_packet_work", work_transmit),
          of_queue("handshake_queue", work_handshake),  // since 5.18; before: by the name
          of_peer("transmit_handshake_work", work_handshake)};
}

}  // namespace wgvitals::trace
