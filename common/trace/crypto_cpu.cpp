#include "common/trace/crypto_cpu.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <string_view>

#include "common/trace/crypto_cpu_maps.h"

namespace wgvitals::trace {
namespace {

// The names of WireGuard's workqueues (drivers/net/wireguard/device.c), and how much of them those
// kernels keep that keep least (WQ_NAME_LEN, kernel/workqueue.c).
constexpr std::array<std::string_view, 2> queues{"wg-crypt-", "wg-kex-"};
constexpr std::size_t least_kept = 23;

// As struct work_key has the kinds.
constexpr std::array works{Work::encrypt,   Work::decrypt, Work::transmit,
                           Work::handshake, Work::receive, Work::packets};
static_assert(work_encrypt == 0 && work_decrypt == 1 && work_transmit == 2 && work_handshake == 3 &&
              work_receive == 4 && work_packets == 5);

Error malformed(const char* what) {
  return {Errc::malformed, 0, std::string(CryptoCpu::who) + ": " + what};
}

}  // namespace

bool is_alike(const CryptoTime& one, const CryptoTime& other) {
  return one.device == other.device && one.work == other.work && one.queue == other.queue;
}

bool is_of(const CryptoTime& time, const SeenDevice& device) {
  if (device.userspace) return false;
  if (time.queue.empty()) return time.device == device.identity;
  for (const auto queue : queues) {
    if (!time.queue.starts_with(queue)) continue;
    const auto name = std::string_view(time.queue).substr(queue.size());
    return time.queue.size() == least_kept ? device.name.starts_with(name) : device.name == name;
  }
  return false;
}

Result<Done> parse_times(std::span<const std::byte> key, std::span<const std::byte> values,
                         std::vector<CryptoTime>& times) {
  work_key whose{};
  if (key.size() != sizeof whose) return malformed("a key of another size");
  std::memcpy(&whose, key.data(), sizeof whose);
  if (whose.kind >= works.size()) return malformed("a work of an unknown kind");
  if (values.size() % sizeof(work_time) != 0) return malformed("a time of another size");
  const auto* end = std::find(std::begin(whose.queue), std::end(whose.queue), '\0');
  const std::string_view queue(std::begin(whose.queue),
                               static_cast<std::size_t>(end - std::begin(whose.queue)));
  if ((whose.ifindex == 0) == queue.empty()) return malformed("a time of no device");
  for (std::size_t cpu = 0; cpu < values.size() / sizeof(work_time); ++cpu) {
    work_time time{};
    std::memcpy(&time, values.subspan(cpu * sizeof time).data(), sizeof time);
    if (time.ns == 0 && time.runs == 0) continue;
    times.push_back({{whose.netns, whose.ifindex},
                     std::string(queue),
                     works.at(whose.kind),
                     static_cast<unsigned>(cpu),
                     time.ns,
                     time.runs});
  }
  return Done{};
}

}  // namespace wgvitals::trace
