// The CPU time of WireGuard by the names of the kernel's workers, and by the processes of userspace
// implementations.

#include <algorithm>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "common/collect/crypto_method.h"
#include "common/kernel/kernel_threads.h"

namespace wgvitals::collect {
namespace {

using Clock = std::chrono::steady_clock;
using kernel::DeviceWork;

constexpr std::chrono::seconds scan_interval(1);    // more often than workers change their work
constexpr std::chrono::seconds rest_interval(4);    // while WireGuard takes next to nothing
constexpr std::chrono::seconds retry_interval(30);  // where kernel threads cannot be seen
constexpr std::uint64_t some_packets = 100;         // whose work must have been seen

// What scans of the kernel's threads have counted.
struct Counted {
  using Work = std::map<std::string, DeviceWork, std::less<>>;

  Clock::time_point at;  // of the last scan
  std::shared_ptr<const Work> work = std::make_shared<Work>();
  std::optional<Error> failure;
};

CryptoTimes to_times(const kernel::WorkTimes& work) {
  CryptoTimes times;
  times.handshake_ns = work.handshake_ns;
  times.receive_ns = work.receive_ns;
  times.total_ns = work.crypt_ns + work.handshake_ns + work.receive_ns.value_or(0);
  return times;
}

// A scan a second (while tunnels are at rest, every fourth) on the loop's thread, as long as it
// lives. `loop` must outlive its thread.
class Scans {
 public:
  Scans(probe::Loop& loop, const Root& root, bool per_cpu)
      : core_(std::make_shared<Core>(loop, root, per_cpu)) {
    core_->start();
  }
  Scans(const Scans&) = delete;
  ~Scans() { core_->stop(); }

  Counted counted() const { return core_->counted(); }

 private:
  class Core : public std::enable_shared_from_this<Core> {
   public:
    Core(probe::Loop& loop, Root root, bool per_cpu)
        : loop_(loop), root_(std::move(root)), threads_(root_, per_cpu) {}

    // Any thread.
    void start() {
      loop_.post([self = shared_from_this()] { self->scan(); });
    }
    // Where the loop has ended, it has let go of this already.
    void stop() noexcept try {
      loop_.post([self = shared_from_this()] { self->end(); });
    } catch (...) {
    }
    Counted counted() {
      const std::lock_guard lock(mutex_);
      return counted_;
    }

   private:
    // The rest on the loop's thread.
    void scan() {
      if (ended_) return;
      const auto now = Clock::now();
      scan_at(now + retry_interval);
      const auto scanned = threads_.scan(now);
      if (scanned) scan_at(now + (rests(now) ? rest_interval : scan_interval));
      std::shared_ptr<const Counted::Work> work;
      const auto changes = threads_.changes();
      if (changes != std::exchange(changes_, changes)) {
        work = std::make_shared<Counted::Work>(threads_.work());
      }
      const std::lock_guard lock(mutex_);
      if (work) counted_.work = std::move(work);
      counted_.failure = scanned ? std::nullopt : std::optional(scanned.error());
      if (scanned) counted_.at = now;
    }
    void scan_at(Clock::time_point when) {
      loop_.cancel(timer_);
      timer_ = loop_.at(when, [self = shared_from_this()] { self->scan(); });
    }
    // Since the last scan.
    bool rests(Clock::time_point now) {
      std::uint64_t spent = 0;
      for (const auto& [name, work] : threads_.work()) spent += to_times(work.all).total_ns;
      const auto gained = spent - std::min(spent, std::exchange(spent_, spent));
      const auto before = std::exchange(scanned_, now);
      return before && is_at_rest(gained, now - *before);
    }
    void end() {
      ended_ = true;
      loop_.cancel(timer_);
    }

    probe::Loop& loop_;
    const Root root_;

    // The loop's thread.
    kernel::KernelThreads threads_;
    bool ended_ = false;
    probe::Loop::TimerId timer_ = 0;
    std::optional<Clock::time_point> scanned_;
    std::uint64_t spent_ = 0;  // by then, for all devices
    std::uint64_t changes_ = 0;

    std::mutex mutex_;
    Counted counted_;
  };

  std::shared_ptr<Core> core_;
};

class KworkerMethod final : public CryptoMethod {
 public:
  KworkerMethod(const Services& services, bool per_cpu)
      : loop_(services.loop), root_(services.root), per_cpu_(per_cpu) {}

  std::string_view name() const override { return "kworker"; }

  void read(std::span<const SeenDevice* const> left, const Devices& devices,
            Report& report) override {
    keep_devices(left, devices);
    readings_.clear();
    if (devices_.empty()) {  // nothing to count; what comes then is counted anew
      scans_.reset();
      return;
    }
    if (!scans_) {
      scans_ = std::make_unique<Scans>(loop_, root_, per_cpu_);
      begun_ = static_cast<std::uint64_t>(Clock::now().time_since_epoch().count());
    }
    const auto counted = scans_->counted();
    if (counted.failure) return report.noted(*counted.failure);
    take(counted);
  }

  Result<const CryptoReading*> reading_of(const SeenDevice& device) const override {
    const auto found = std::find_if(readings_.begin(), readings_.end(), [&](const auto& reading) {
      return reading.first == device.identity;
    });
    if (found == readings_.end()) return Error{Errc::absent, 0, device.name};
    return &found->second;
  }

 private:
  // A device in the kernel. Its workers keep the name that it had when it was made: the first that
  // was seen is nearest to that.
  struct Device {
    DeviceIdentity identity;
    std::string first_name;
    std::uint64_t first_packets = 0;  // that had passed when it was first seen
    std::uint64_t packets = 0;
    bool seen = false;
    Clock::time_point since{};
  };

  void keep_devices(std::span<const SeenDevice* const> left, const Devices& devices) {
    for (auto& device : devices_) device.seen = devices.is_unread(device.identity);
    for (const auto* device : left) {
      if (device->userspace) continue;
      std::uint64_t packets = 0;
      if (device->link && device->link->counters) {
        packets = device->link->counters->rx_packets + device->link->counters->tx_packets;
      }
      auto known = std::find_if(devices_.begin(), devices_.end(), [&](const Device& one) {
        return one.identity == device->identity;
      });
      if (known == devices_.end()) {
        known = devices_.insert(
            known, {device->identity, device->name, packets, packets, true, Clock::now()});
      }
      known->packets = packets;
      known->seen = true;
    }
    std::erase_if(devices_, [](const Device& device) { return !device.seen; });
  }

  void take(const Counted& counted) {
    std::vector<kernel::WorkedFor> worked_for;
    worked_for.reserve(devices_.size());
    for (const auto& device : devices_) {
      worked_for.push_back(
          {device.first_name, device.packets >= device.first_packets + some_packets, device.since});
    }
    const auto found = kernel::match_work(worked_for, *counted.work);
    for (std::size_t i = 0; i < found.size(); ++i) {
      if (!found[i]) continue;
      auto& reading = readings_.emplace_back(devices_[i].identity, CryptoReading()).second;
      reading.at = counted.at;
      reading.begun = begun_ + found[i]->id;
      reading.all = to_times(found[i]->all);
      for (const auto& [cpu, times] : found[i]->cpus) reading.cpus[cpu] = to_times(times);
    }
  }

  probe::Loop& loop_;
  const Root& root_;
  bool per_cpu_;
  std::uint64_t begun_ = 0;  // tells one run of scans from another
  std::unique_ptr<Scans> scans_;
  std::vector<Device> devices_;
  std::vector<std::pair<DeviceIdentity, CryptoReading>> readings_;
};

class ProcessMethod final : public CryptoMethod {
 public:
  explicit ProcessMethod(const Services& services) : root_(services.root) {}

  std::string_view name() const override { return "process"; }

  void read(std::span<const SeenDevice* const> left, const Devices&, Report& report) override {
    readings_.clear();
    for (const auto* device : left) {
      if (!device->userspace || readings_.contains(device->process)) continue;
      if (device->process == 0) {
        report.noted({Errc::io, 0,
                      device->name + ": its process cannot be seen from here (another PID "
                                     "namespace): no CPU time of it"});
        continue;
      }
      auto use = kernel::read_process(root_, device->process);
      if (!use) {
        report.failed(use.error());  // absent, where it has just ended
        continue;
      }
      auto& reading = readings_[device->process];
      reading.at = Clock::now();
      reading.begun = use->started;
      reading.all.total_ns = use->cpu_ns;
      reading.process = std::move(*use);
    }
  }

  Result<const CryptoReading*> reading_of(const SeenDevice& device) const override {
    const auto found = readings_.find(device.process);
    if (!device.userspace || found == readings_.end()) return Error{Errc::absent, 0, device.name};
    return &found->second;
  }

 private:
  const Root& root_;
  std::map<std::uint32_t, CryptoReading> readings_;  // by process, which may have several devices
};

}  // namespace

std::unique_ptr<CryptoMethod> make_kworker_method(const Services& services, bool per_cpu) {
  return std::make_unique<KworkerMethod>(services, per_cpu);
}

std::unique_ptr<CryptoMethod> make_process_method(const Services& services) {
  return std::make_unique<ProcessMethod>(services);
}

}  // namespace wgvitals::collect
