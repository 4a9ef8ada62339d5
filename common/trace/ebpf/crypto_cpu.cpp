// Loads the object that was compiled from crypto_cpu.bpf.c, which is part of this one, attaches its
// programs and reads their maps.
#include "common/trace/crypto_cpu.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <utility>

#include "common/trace/crypto_cpu_maps.h"
#include "common/trace/ebpf/btf_types.h"
#include "common/trace/ebpf/embedded.h"
#include "common/trace/ebpf/libbpf.h"
#include "common/trace/ebpf/programs.h"
#include "common/trace/obstacle.h"
#include "common/trace/work_paths.h"

WGVITALS_EMBED(wgvitals_crypto_cpu, WGVITALS_CRYPTO_CPU_OBJECT)

namespace wgvitals::trace {
namespace {

crypto_cpu_settings to_settings(const Libbpf& bpf, const Root& root, CryptoCpu::Watch watch) {
  const BtfTypes types(bpf, root.full_path("sys/kernel/btf/wireguard"));
  const auto paths = derive_paths(
      [&](const char* type, const char* member) { return types.offset_of(type, member); });
  crypto_cpu_settings settings{};
  std::copy(paths.begin(), paths.end(), std::begin(settings.paths));
  settings.any_queue = watch == CryptoCpu::Watch::all_workqueues ? 1 : 0;
  return settings;
}

}  // namespace

struct CryptoCpu::Attached {
  explicit Attached(Libbpf library) : programs(std::move(library), who) {}

  Result<Done> find_maps();
  void forget_functions();

  Programs programs;
  int times = -1, functions = -1, cpus = -1;  // maps
  std::size_t cpu_count = 0;
  bool split = false;
  std::chrono::steady_clock::time_point forgotten = std::chrono::steady_clock::now();
};

Result<Done> CryptoCpu::Attached::find_maps() {
  for (const auto& [name, map] :
       {std::pair("times", &times), {"functions", &functions}, {"cpus", &cpus}}) {
    const auto found = programs.find_map(name);
    if (!found) return found.error();
    *map = *found;
  }
  const auto count = programs.cpu_count();
  if (!count) return count.error();
  cpu_count = *count;
  return Done{};
}

// See there.
void CryptoCpu::Attached::forget_functions() {
  const auto now = std::chrono::steady_clock::now();
  if (now - forgotten < std::chrono::minutes(1)) return;
  forgotten = now;
  std::vector<std::uint64_t> known;
  (void)programs.for_each_key<std::uint64_t>(
      functions, [&](std::uint64_t function) { known.push_back(function); });
  for (const auto function : known) (void)programs.bpf().map_delete_elem(functions, &function);
}

CryptoCpu::CryptoCpu(std::unique_ptr<Attached> attached) : attached_(std::move(attached)) {}
CryptoCpu::~CryptoCpu() = default;

Result<std::unique_ptr<CryptoCpu>> CryptoCpu::attach(const Root& root, Watch watch) {
  if (auto obstacle = find_obstacle(root, who)) return *obstacle;
  auto library = Libbpf::load(who);
  if (!library) return library.error();
  const auto settings = to_settings(*library, root, watch);
  auto attached = std::make_unique<Attached>(std::move(*library));
  attached->split = std::ranges::all_of(settings.paths, &work_path::known);
  auto& programs = attached->programs;
  const std::span object(wgvitals_crypto_cpu_begin, wgvitals_crypto_cpu_end);
  if (auto done = programs.load(object, std::as_bytes(std::span(&settings, 1))); !done) {
    return done.error();
  }
  if (auto done = attached->find_maps(); !done) return done.error();
  if (auto done = programs.attach(); !done) return done.error();
  return std::unique_ptr<CryptoCpu>(new CryptoCpu(std::move(attached)));
}

Result<CryptoTimes> CryptoCpu::read() {
  CryptoTimes read;
  read.split = attached_->split;
  const auto& programs = attached_->programs;
  const auto& bpf = programs.bpf();
  std::vector<work_time> values(attached_->cpu_count);
  Result<Done> parsed = Done{};
  const auto done = programs.for_each_key<work_key>(attached_->times, [&](const work_key& key) {
    if (!parsed || bpf.map_lookup_elem(attached_->times, &key, values.data()) != 0) return;
    parsed = parse_times(std::as_bytes(std::span(&key, 1)), std::as_bytes(std::span(values)),
                         read.times);
  });
  if (!done) return done.error();
  if (!parsed) return parsed.error();
  std::vector<cpu_state> states(attached_->cpu_count);
  const std::uint32_t only = 0;
  if (bpf.map_lookup_elem(attached_->cpus, &only, states.data()) != 0) {
    return programs.failed(errno, "reading the CPUs' states");
  }
  for (const auto& state : states) read.missed += state.missed;
  attached_->forget_functions();
  return read;
}

void CryptoCpu::forget(const CryptoTime& gone) {
  work_key key{};
  key.netns = static_cast<std::uint32_t>(gone.device.place);
  key.ifindex = gone.device.index;
  key.kind = static_cast<std::uint32_t>(gone.work);
  gone.queue.copy(std::begin(key.queue), sizeof key.queue - 1);
  (void)attached_->programs.bpf().map_delete_elem(attached_->times, &key);
}

}  // namespace wgvitals::trace
