// The CPU time of in-kernel WireGuard by eBPF: exact, and told apart by the kind of work.

#include <algorithm>
#include <iterator>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "common/collect/crypto_method.h"
#include "common/trace/crypto_cpu.h"

namespace wgvitals::collect {
namespace {

using trace::CryptoTime;
using trace::Work;

void add(const CryptoTime& time, CryptoTimes& times) {
  const auto add_to = [&](std::optional<std::uint64_t>& sum) { sum = sum.value_or(0) + time.ns; };
  times.total_ns += time.ns;
  switch (time.work) {
    case Work::encrypt:
      return add_to(times.encrypt_ns);
    case Work::decrypt:
      return add_to(times.decrypt_ns);
    case Work::transmit:
      return add_to(times.transmit_ns);
    case Work::handshake:
      return add_to(times.handshake_ns);
    case Work::receive:
      return add_to(times.receive_ns);
    case Work::packets:
      return;
  }
}

class EbpfMethod final : public CryptoMethod {
 public:
  EbpfMethod(const Services& services, bool per_cpu)
      : root_(services.root), per_cpu_(per_cpu), programs_(services.start_thread) {}

  std::string_view name() const override { return "ebpf"; }

  void read(std::span<const SeenDevice* const> left, const Devices& devices,
            Report& report) override {
    readings_.clear();
    failure_.reset();
    // Not earlier: the module must be there.
    begun_ = begun_ || std::any_of(left.begin(), left.end(),
                                   [](const auto* device) { return !device->userspace; });
    if (!begun_) return;
    const auto read = programs_.read(root_);
    if (read && !*read) failure_ = read->error();
    if (!read || !*read) return;
    for (const auto* device : left) {
      if (device->userspace) continue;
      auto& reading = readings_.emplace_back(device->identity, CryptoReading()).second;
      reading.at = std::chrono::steady_clock::now();
      if (!(*read)->split) continue;
      auto& all = reading.all;
      all.encrypt_ns = all.decrypt_ns = all.transmit_ns = all.handshake_ns = 0;
    }
    give((*read)->times, devices);
    if ((*read)->missed > std::exchange(missed_, (*read)->missed)) {
      report.failed({Errc::io, 0,
                     "ebpf: more devices, or more work at once, than there is room for: times are "
                     "too small"});
    }
  }

  Result<const CryptoReading*> reading_of(const SeenDevice& device) const override {
    if (device.userspace) return Error{Errc::absent, 0, device.name};
    if (failure_) return *failure_;
    const auto found = find(device.identity);
    return found == readings_.end() ? nullptr : &found->second;
  }

 private:
  using Readings = std::vector<std::pair<DeviceIdentity, CryptoReading>>;

  Readings::const_iterator find(const DeviceIdentity& identity) const {
    return std::find_if(readings_.begin(), readings_.end(),
                        [&](const auto& reading) { return reading.first == identity; });
  }

  // Those of one device and work stand together.
  void give(const std::vector<CryptoTime>& times, const Devices& devices) {
    CryptoReading* whose = nullptr;
    for (auto time = times.begin(); time != times.end(); ++time) {
      if (time == times.begin() || !trace::is_alike(*time, *std::prev(time))) {
        whose = find_reading(*time, devices);
      }
      if (whose == nullptr) continue;
      add(*time, whose->all);
      if (per_cpu_) add(*time, whose->cpus[time->cpu]);
    }
  }

  CryptoReading* find_reading(const CryptoTime& time, const Devices& devices) {
    const SeenDevice* whose = nullptr;
    for (const auto& device : devices.devices) {
      if (!trace::is_of(time, device)) continue;
      if (whose != nullptr) return nullptr;  // two of one name, of which only the name is known
      whose = &device;
    }
    if (whose == nullptr) {
      if (!devices.is_unread(time.device)) programs_.forget(time);
      return nullptr;
    }
    for (auto& [identity, reading] : readings_) {
      if (identity == whose->identity) return &reading;
    }
    return nullptr;
  }

  const Root& root_;
  bool per_cpu_;
  bool begun_ = false;
  trace::CryptoCpuThread programs_;
  std::optional<Error> failure_;
  std::uint64_t missed_ = 0;
  Readings readings_;
};

}  // namespace

std::unique_ptr<CryptoMethod> make_ebpf_method(const Services& services, bool per_cpu) {
  return std::make_unique<EbpfMethod>(services, per_cpu);
}

}  // namespace wgvitals::collect
