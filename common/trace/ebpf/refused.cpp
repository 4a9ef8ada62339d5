// Loads the object that was compiled from refused.bpf.c, which is part of this one, attaches its
// program and reads its map.
#include "common/trace/refused.h"

#include <string>
#include <utility>

#include "common/trace/ebpf/btf_types.h"
#include "common/trace/ebpf/embedded.h"
#include "common/trace/ebpf/libbpf.h"
#include "common/trace/ebpf/programs.h"
#include "common/trace/obstacle.h"

WGVITALS_EMBED(wgvitals_refused, WGVITALS_REFUSED_OBJECT)

namespace wgvitals::trace {
namespace {

Result<refused_settings> to_settings(const Libbpf& bpf, const Root& root) {
  const BtfTypes types(bpf, root.full_path("sys/kernel/btf/wireguard"));
  const auto settings = derive_refused_settings(
      [&](const char* type, const char* member) { return types.offset_of(type, member); });
  if (settings) return *settings;
  return Error{Errc::absent, 0,
               std::string(RefusedCounter::who) +
                   ": needs the types of the kernel's WireGuard (BTF), which this kernel does "
                   "not have: Linux 5.11, CONFIG_DEBUG_INFO_BTF_MODULES"};
}

}  // namespace

struct RefusedCounter::Attached {
  explicit Attached(Libbpf library) : programs(std::move(library), who) {}

  Programs programs;
  int map = -1;
  std::size_t cpu_count = 0;
};

RefusedCounter::RefusedCounter(std::unique_ptr<Attached> attached)
    : attached_(std::move(attached)) {}
RefusedCounter::~RefusedCounter() = default;

Result<std::unique_ptr<RefusedCounter>> RefusedCounter::attach(const Root& root) {
  if (auto obstacle = find_obstacle(root, who)) return *obstacle;
  auto library = Libbpf::load(who);
  if (!library) return library.error();
  const auto settings = to_settings(*library, root);
  if (!settings) return settings.error();
  auto attached = std::make_unique<Attached>(std::move(*library));
  auto& programs = attached->programs;
  const std::span object(wgvitals_refused_begin, wgvitals_refused_end);
  if (auto done = programs.load(object, std::as_bytes(std::span(&*settings, 1))); !done) {
    return done.error();
  }
  const auto map = programs.find_map("refused");
  if (!map) return map.error();
  attached->map = *map;
  const auto count = programs.cpu_count();
  if (!count) return count.error();
  attached->cpu_count = *count;
  if (auto done = programs.attach(); !done) return done.error();
  return std::unique_ptr<RefusedCounter>(new RefusedCounter(std::move(attached)));
}

Result<std::vector<RefusedPackets>> RefusedCounter::read() {
  std::vector<RefusedPackets> read;
  const auto& programs = attached_->programs;
  std::vector<refused_counts> values(attached_->cpu_count);
  Result<Done> parsed = Done{};
  const auto done = programs.for_each_key<refused_key>(attached_->map, [&](const auto& key) {
    if (!parsed || programs.bpf().map_lookup_elem(attached_->map, &key, values.data()) != 0) return;
    parsed =
        parse_refused(std::as_bytes(std::span(&key, 1)), std::as_bytes(std::span(values)), read);
  });
  if (!done) return done.error();
  if (!parsed) return parsed.error();
  return read;
}

void RefusedCounter::forget(const RefusedPackets& gone) {
  const refused_key key{static_cast<std::uint32_t>(gone.device.place), gone.device.index,
                        gone.port};
  (void)attached_->programs.bpf().map_delete_elem(attached_->map, &key);
}

}  // namespace wgvitals::trace
