// CPU time that WireGuard takes: one core full of ChaCha20 is what slows many a tunnel.

#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/collect/crypto_method.h"
#include "common/model/label_names.h"

namespace wgvitals::collect {
namespace {

using config::Option;
using config::Takes;

// 1. What is said.

constexpr LabelName cpu_label{"cpu"};
constexpr LabelName method_label{"method", "", false};
constexpr const LabelName* labels[] = {&device_label, &netns_label, &cpu_label, &method_label};
constexpr Place places[] = {{"wireguard", &device_label}};

constexpr Metric encrypt{"encrypt_ns",
                         Type::u64,
                         Kind::counter,
                         Unit::nanoseconds,
                         "CPU time spent on encrypting",
                         {"total_time_in_ms", "encrypt", 0, 1e-6}};
constexpr Metric decrypt{"decrypt_ns",
                         Type::u64,
                         Kind::counter,
                         Unit::nanoseconds,
                         "CPU time spent on decrypting",
                         {"total_time_in_ms", "decrypt", 0, 1e-6}};
constexpr Metric transmit{"transmit_ns",
                          Type::u64,
                          Kind::counter,
                          Unit::nanoseconds,
                          "CPU time spent on handing encrypted packets to the socket",
                          {"total_time_in_ms", "transmit", 0, 1e-6}};
constexpr Metric handshake{"handshake_ns",
                           Type::u64,
                           Kind::counter,
                           Unit::nanoseconds,
                           "CPU time spent on handshakes",
                           {"total_time_in_ms", "handshake", 0, 1e-6}};
constexpr Metric receive{"receive_ns",
                         Type::u64,
                         Kind::counter,
                         Unit::nanoseconds,
                         "CPU time spent on delivering decrypted packets. Absent without threaded "
                         "NAPI: then it is part of the soft interrupts",
                         {"total_time_in_ms", "receive", 0, 1e-6}};
constexpr Metric total{"total_ns",
                       Type::u64,
                       Kind::counter,
                       Unit::nanoseconds,
                       "CPU time of all this work; with the method process, of the whole process "
                       "since it began, else since the counting began",
                       {"total_time_in_ms", "total", 0, 1e-6},
                       "wireguard_crypto_cpu_seconds_total"};
constexpr Metric busy{"busy_percent",
                      Type::f64,
                      Kind::gauge,
                      Unit::percent,
                      "Share of one CPU since the last gather; more than 100 where several work",
                      {"gauge", "crypto_busy_percent"}};
constexpr Metric rss{"process_rss_bytes", Type::i64, Kind::gauge, Unit::bytes,
                     "Resident memory of the process"};
constexpr Metric threads{"process_threads", Type::i64, Kind::gauge, Unit::none,
                         "Threads of the process"};
constexpr Metric busiest_thread{
    "busiest_thread_percent", Type::f64, Kind::gauge, Unit::percent,
    "Share of one CPU that the process' busiest thread took, since the last gather"};

constexpr Metric encrypt_per_packet{
    "encrypt_ns_per_packet",
    Type::f64,
    Kind::gauge,
    Unit::nanoseconds,
    "Mean CPU time of encrypting one of the packets that the link sent since the last gather",
    {},
    "wireguard_crypto_packet_encrypt_seconds"};
constexpr Metric decrypt_per_packet{
    "decrypt_ns_per_packet",
    Type::f64,
    Kind::gauge,
    Unit::nanoseconds,
    "Mean CPU time of decrypting one of the packets that the link received since the last gather",
    {},
    "wireguard_crypto_packet_decrypt_seconds"};

struct Split {
  const Metric& metric;
  std::optional<std::uint64_t> CryptoTimes::*value;
};
constexpr Split splits[] = {{encrypt, &CryptoTimes::encrypt_ns},
                            {decrypt, &CryptoTimes::decrypt_ns},
                            {transmit, &CryptoTimes::transmit_ns},
                            {handshake, &CryptoTimes::handshake_ns},
                            {receive, &CryptoTimes::receive_ns}};
constexpr const Metric* metrics[] = {
    &encrypt, &decrypt, &transmit,       &handshake,          &receive,           &total, &busy,
    &rss,     &threads, &busiest_thread, &encrypt_per_packet, &decrypt_per_packet};
constexpr Family crypto_family{"wireguard_crypto", "CPU time that a device's WireGuard takes",
                               metrics, labels, places};

constexpr Metric reason{"method_reason", Type::text, Kind::gauge, Unit::none,
                        "Why no better method is used"};
constexpr const Metric* reason_metrics[] = {&reason};
constexpr Family reason_family{
    "wireguard_crypto", "How the CPU time is measured", reason_metrics, labels, {}};
constexpr const Family* families[] = {&crypto_family, &reason_family};

constexpr Option per_cpu{"crypto_per_cpu", Takes::truth, "false",
                         "Tells the CPU time on each CPU, too, where the method knows it"};
constexpr Option ebpf{"crypto_ebpf", Takes::truth, "true",
                      "Measures in-kernel devices by eBPF, where CAP_BPF and CAP_PERFMON allow it; "
                      "else they are estimated"};
constexpr const Option* options[] = {&per_cpu, &ebpf};

// 2. From values to values, from values to records.

using std::chrono::nanoseconds;

// A share of one CPU. Empty where no time passed.
std::optional<double> to_percent(std::uint64_t spent_ns, nanoseconds passed) {
  if (passed.count() <= 0) return std::nullopt;
  return 100 * static_cast<double>(spent_ns) / static_cast<double>(passed.count());
}

// That have passed a device's link; empty where it is not known.
std::optional<LinkCounters> link_counters(const SeenDevice& device) {
  return device.link ? device.link->counters : std::nullopt;
}

struct Measured {
  CryptoReading reading;
  std::optional<LinkCounters> link;
};

// What was told of a device at the last gather, and what it was compared with.
struct Last {
  DeviceIdentity identity;
  std::string_view method;
  Measured told;
  std::optional<Measured> before;
};

// What is told of a device.
struct Told {
  const SeenDevice* device = nullptr;
  std::string_view method;
  std::string why;                         // no better one
  const CryptoReading* reading = nullptr;  // the method's, until its next
  std::optional<LinkCounters> link;        // at that time
  Last* known = nullptr;                   // of the same; null: there is none
  bool again = false;                      // the method has looked no further since
  const Measured* last = nullptr;          // comparable; null: there is none

  nanoseconds passed() const { return last ? reading->at - last->reading.at : nanoseconds(0); }
};

using CryptoReadings = Readings<std::size(metrics)>;

// `before`: null where there is none to compare with.
void add_times(const CryptoTimes* before, const CryptoTimes& now, nanoseconds passed,
               CryptoReadings& readings) {
  for (const auto& split : splits) readings.add(split.metric, now.*split.value);
  readings.add(total, now.total_ns);
  if (before != nullptr && now.total_ns >= before->total_ns) {
    readings.add(busy, to_percent(now.total_ns - before->total_ns, passed));
  }
}

void add_process(const Told& told, CryptoReadings& readings) {
  const auto& now = told.reading->process;
  if (!now) return;
  readings.add(rss, now->rss_bytes);
  readings.add(threads, now->threads);
  if (told.last == nullptr || !told.last->reading.process) return;
  const auto most =
      kernel::derive_busiest_thread(told.last->reading.process->thread_times, now->thread_times);
  if (most) readings.add(busiest_thread, to_percent(*most, told.passed()));
}

// No tracepoint of the kernel marks a packet, so that there is only the mean.
void add_mean(const Metric& metric, const Told& told,
              std::optional<std::uint64_t> CryptoTimes::*time, std::uint64_t LinkCounters::*packets,
              CryptoReadings& readings) {
  const auto& link = told.link;
  if (told.last == nullptr || !link || !told.last->link) return;
  const auto now = told.reading->all.*time;
  const auto before = told.last->reading.all.*time;
  const auto passed = (*link).*packets, passed_before = (*told.last->link).*packets;
  if (!now || !before || *now < *before || passed <= passed_before) return;
  readings.add(metric,
               static_cast<double>(*now - *before) / static_cast<double>(passed - passed_before));
}

void emit_all(const Told& told, Sink& sink) {
  const Label whose[] = {{&device_label, told.device->name},
                         {&netns_label, told.device->netns},
                         {&cpu_label, "all"},
                         {&method_label, told.method}};
  CryptoReadings readings;
  const auto* before = told.last != nullptr ? &told.last->reading.all : nullptr;
  add_times(before, told.reading->all, told.passed(), readings);
  add_process(told, readings);
  add_mean(encrypt_per_packet, told, &CryptoTimes::encrypt_ns, &LinkCounters::tx_packets, readings);
  add_mean(decrypt_per_packet, told, &CryptoTimes::decrypt_ns, &LinkCounters::rx_packets, readings);
  sink.take(Record{crypto_family, whose, readings});
}

void emit_cpu(const Told& told, unsigned number, const CryptoTimes& now, Sink& sink) {
  const auto name = "cpu" + std::to_string(number);
  const Label whose[] = {{&device_label, told.device->name},
                         {&netns_label, told.device->netns},
                         {&cpu_label, name},
                         {&method_label, told.method}};
  CryptoTimes none;  // a CPU that had no such work until the last gather is not in its reading
  const CryptoTimes* before = nullptr;
  if (told.last != nullptr) {
    const auto& cpus = told.last->reading.cpus;
    const auto old = cpus.find(number);
    before = old != cpus.end() ? &old->second : &none;
  }
  CryptoReadings readings;
  add_times(before, now, told.passed(), readings);
  sink.take(Record{crypto_family, whose, readings});
}

void emit_reason(const Told& told, Sink& sink) {
  if (told.why.empty()) return;
  const Label whose[] = {{&device_label, told.device->name},
                         {&netns_label, told.device->netns},
                         {&method_label, told.method}};
  Readings<1> words;
  words.add(reason, std::string_view(told.why));
  sink.take(Record{reason_family, whose, words});
}

// 3. The collector.

class CryptoCollector final : public Collector {
 public:
  CryptoCollector(std::vector<std::unique_ptr<CryptoMethod>> methods, const Services& services)
      : methods_(std::move(methods)), resident_(services.resident) {}

  bool is_sampled() const override { return false; }

  void read(Devices& devices, Report& report) override {
    left_.clear();
    for (const auto& device : devices.devices) left_.push_back(&device);
    for (auto& method : methods_) {
      method->read(left_, devices, report);
      std::optional<Error> why;
      std::erase_if(left_, [&](const SeenDevice* device) {
        const auto reading = method->reading_of(*device);
        if (!reading && reading.error().code != Errc::absent) why = reading.error();
        return reading.has_value();
      });
      if (why) report.noted(*why);
    }
  }

  void advance(const Now&, const Devices& devices, Peers&, Events&) override {
    now_.clear();
    for (const auto& device : devices.devices) {
      if (auto told = choose(device)) now_.push_back(std::move(*told));
    }
  }

  void emit(const Now&, const Devices&, const Peers&, Sink& sink) const override {
    for (const auto& told : now_) {
      emit_all(told, sink);
      for (const auto& [number, times] : told.reading->cpus) emit_cpu(told, number, times, sink);
      emit_reason(told, sink);
    }
  }

  void told() override {
    if (!resident_) return;
    std::vector<Last> last;
    for (const auto& told : now_) {
      if (told.again) {
        last.push_back(std::move(*told.known));
        continue;
      }
      std::optional<Measured> before;
      if (told.known != nullptr) before = std::move(told.known->told);
      last.push_back(
          {told.device->identity, told.method, {*told.reading, told.link}, std::move(before)});
    }
    last_ = std::move(last);
    now_.clear();
  }

 private:
  std::optional<Told> choose(const SeenDevice& device) {
    Told told;
    told.device = &device;
    for (const auto& method : methods_) {
      const auto reading = method->reading_of(device);
      if (reading) {
        if (*reading == nullptr) return std::nullopt;
        told.method = method->name();
        told.reading = *reading;
        compare(told);
        return told;
      }
      if (reading.error().code == Errc::absent) continue;
      (told.why += told.why.empty() ? "" : "; ") += to_text(reading.error());
    }
    return std::nullopt;
  }

  // A reading that is told again is told with the same shares.
  void compare(Told& told) {
    told.link = link_counters(*told.device);
    const auto found = std::find_if(last_.begin(), last_.end(), [&](const Last& last) {
      return last.identity == told.device->identity && last.method == told.method &&
             last.told.reading.begun == told.reading->begun;
    });
    if (found == last_.end()) return;
    told.known = &*found;
    told.again = told.reading->at == found->told.reading.at;
    if (!told.again) {
      told.last = &found->told;
      return;
    }
    told.link = found->told.link;
    if (found->before) told.last = &*found->before;
  }

  std::vector<std::unique_ptr<CryptoMethod>> methods_;
  bool resident_;
  std::vector<const SeenDevice*> left_;  // by no method served yet
  std::vector<Told> now_;                // points to what was read, until the next reading
  std::vector<Last> last_;               // as of the last gather
};

}  // namespace

std::unique_ptr<Collector> make_crypto_collector(std::vector<std::unique_ptr<CryptoMethod>> methods,
                                                 const Services& services) {
  return std::make_unique<CryptoCollector>(std::move(methods), services);
}

namespace {

std::unique_ptr<Collector> make(const Services& services, const config::Settings& settings) {
  std::vector<std::unique_ptr<CryptoMethod>> methods;  // the best first
  // It counts from one second to the next: a single look tells nothing.
  if (services.resident) {
    if (settings.truth(ebpf)) {
      methods.push_back(make_ebpf_method(services, settings.truth(per_cpu)));
    }
    methods.push_back(make_kworker_method(services, settings.truth(per_cpu)));
  }
  methods.push_back(make_process_method(services));
  return make_crypto_collector(std::move(methods), services);
}

}  // namespace

extern const Entry crypto;
const Entry crypto{{"crypto", Takes::truth, "true",
                    "Reads the CPU time that WireGuard takes: of in-kernel devices by eBPF or an "
                    "estimate, of userspace ones by their process"},
                   families,
                   options,
                   make};

}  // namespace wgvitals::collect
