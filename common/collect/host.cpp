// What a tunnel's host does to it: full socket buffers, fragments, a busy CPU, heat, a wrong clock.

#include <linux/netlink.h>

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "common/base/clock.h"
#include "common/base/text.h"
#include "common/collect/collector.h"
#include "common/kernel/cpu.h"
#include "common/kernel/frag_needed.h"
#include "common/kernel/namespace.h"
#include "common/kernel/net_files.h"
#include "common/kernel/protocols.h"
#include "common/kernel/route.h"
#include "common/kernel/underlay.h"
#include "common/kernel/wireguard.h"

namespace wgvitals::collect {
namespace {

using config::Option;
using config::Takes;
using kernel::ProtocolCounters;
using Clock = std::chrono::steady_clock;

// 1. What is said.

constexpr const LabelName* labels[] = {&netns_label};
constexpr Place places[] = {{"wireguard"}};

constexpr Metric udp_rcvbuf_errors{"udp_rcvbuf_errors", Type::u64, Kind::counter, Unit::packets,
                                   "UDP packets that found no room in their socket, IPv4 and IPv6"};
constexpr Metric udp_sndbuf_errors{"udp_sndbuf_errors", Type::u64, Kind::counter, Unit::packets,
                                   "UDP packets that found no room to be sent, IPv4 and IPv6"};
constexpr Metric udp_in_errors{
    "udp_in_errors", Type::u64, Kind::counter, Unit::packets,
    "UDP packets received in vain, of IPv4 and IPv6: no room, wrong checksum, refused"};
constexpr Metric ip_frag_fails{
    "ip_frag_fails", Type::u64, Kind::counter, Unit::packets,
    "Packets that were too large and could not be fragmented, IPv4 and IPv6"};
constexpr Metric ip_frag_creates{"ip_frag_creates", Type::u64, Kind::counter, Unit::packets,
                                 "Fragments made, IPv4 and IPv6"};
constexpr Metric ip_reasm_fails{"ip_reasm_fails", Type::u64, Kind::counter, Unit::packets,
                                "Packets that could not be put together, IPv4 and IPv6"};
constexpr Metric icmp_in_frag_needed{
    "icmp_in_frag_needed", Type::u64, Kind::counter, Unit::packets,
    "ICMP \"fragmentation needed\" received since start (host_frag_needed)"};
constexpr Metric icmp6_in_too_big{"icmp6_in_too_big", Type::u64, Kind::counter, Unit::packets,
                                  "ICMPv6 \"packet too big\" received"};
constexpr Metric tcp_retrans_segs{"tcp_retrans_segs", Type::u64, Kind::counter, Unit::packets,
                                  "TCP segments sent again"};
constexpr Metric softnet_dropped{
    "softnet_dropped", Type::u64, Kind::counter, Unit::packets,
    "Received packets that found a CPU's queue full (net.core.netdev_max_backlog)"};
constexpr Metric softnet_time_squeezed{
    "softnet_time_squeezed", Type::u64, Kind::counter, Unit::none,
    "Times that a CPU gave up receiving with work left (net.core.netdev_budget)"};
constexpr Metric core_throttle_count{
    "core_throttle_count", Type::u64, Kind::counter, Unit::none,
    "Times that CPUs were slowed by heat, all together, at most 30 s old. Absent where the machine "
    "does not count it"};
constexpr Metric rmem_max{"rmem_max", Type::i64, Kind::gauge, Unit::bytes,
                          "Largest receive buffer that a program may ask for (net.core.rmem_max)"};
constexpr Metric wmem_max{"wmem_max", Type::i64, Kind::gauge, Unit::bytes,
                          "Largest send buffer that a program may ask for (net.core.wmem_max)"};
constexpr Metric cpu_max_busy{"cpu_max_busy_percent", Type::f64, Kind::gauge, Unit::percent,
                              "Busy share of the busiest CPU, since the last gather"};
constexpr Metric cpu_max_softirq{
    "cpu_max_softirq_percent", Type::f64, Kind::gauge, Unit::percent,
    "Share of soft interrupts on the CPU that has the most of them, since the last gather"};
constexpr Metric cpu_busiest{"cpu_busiest", Type::i64, Kind::gauge, Unit::none,
                             "Number of the busiest CPU"};
constexpr Metric irq_busiest_cpu{
    "irq_busiest_cpu_percent", Type::f64, Kind::gauge, Unit::percent,
    "Of the interrupts of the underlay's cards since the last gather, the share that one CPU had. "
    "Absent where there were none"};
constexpr Metric clock_synchronised{"clock_synchronised", Type::i64, Kind::gauge, Unit::truth,
                                    "The kernel takes its clock for synchronised (adjtimex)"};
constexpr Metric clock_offset{
    "clock_offset_ms", Type::f64, Kind::gauge, Unit::milliseconds,
    "What the kernel still has to slew off its clock; near 0 with a daemon that does so itself"};

constexpr const Metric* metrics[] = {
    &udp_rcvbuf_errors, &udp_sndbuf_errors, &udp_in_errors,         &ip_frag_fails,
    &ip_frag_creates,   &ip_reasm_fails,    &icmp_in_frag_needed,   &icmp6_in_too_big,
    &tcp_retrans_segs,  &softnet_dropped,   &softnet_time_squeezed, &core_throttle_count,
    &rmem_max,          &wmem_max,          &cpu_max_busy,          &cpu_max_softirq,
    &cpu_busiest,       &irq_busiest_cpu,   &clock_synchronised,    &clock_offset};
constexpr Family host_family{
    "wireguard_host",
    "The host of the tunnels; in a configured other network namespace only "
    "what that has of its own",
    metrics, labels, places};
constexpr const Family* families[] = {&host_family};

constexpr Option count_frag_needed{
    "host_frag_needed", Takes::truth, "false",
    "Counts ICMP's \"fragmentation needed\", which Linux does not count by itself, at a raw socket "
    "with a filter. Needs CAP_NET_RAW"};
constexpr const Option* options[] = {&count_frag_needed};

// 2. From values to values, from values to records.

using HostReadings = Readings<std::size(metrics)>;

void add_protocols(const ProtocolCounters& seen, HostReadings& readings) {
  readings.add(udp_rcvbuf_errors, seen.udp_rcvbuf_errors);
  readings.add(udp_sndbuf_errors, seen.udp_sndbuf_errors);
  readings.add(udp_in_errors, seen.udp_in_errors);
  readings.add(ip_frag_fails, seen.ip_frag_fails);
  readings.add(ip_frag_creates, seen.ip_frag_creates);
  readings.add(ip_reasm_fails, seen.ip_reasm_fails);
  readings.add(icmp6_in_too_big, seen.icmp6_in_too_big);
  readings.add(tcp_retrans_segs, seen.tcp_retrans_segs);
}

// What a file holds. Empty where there is none, or where that was reported.
template <class Parse>
auto take(const Result<std::string_view>& text, const std::string& what, Report& report,
          Parse&& parse) -> std::optional<std::decay_t<decltype(*parse(std::string_view()))>> {
  if (!text) {
    report.failed(text.error());
    return std::nullopt;
  }
  auto parsed = parse(*text);
  if (parsed) return std::move(*parsed);
  report.failed({Errc::malformed, 0, what + ": " + parsed.error().where});
  return std::nullopt;
}

Result<std::int64_t> parse_number(std::string_view text) {
  const auto number = text::to_number<std::int64_t>(text::trim(text));
  if (!number) return Error{Errc::malformed, 0, "no number"};
  return *number;
}

// What is read of the whole machine.
struct Machine {
  std::optional<std::uint64_t> softnet_dropped, softnet_time_squeezed;
  std::optional<std::int64_t> rmem_max, wmem_max;
  std::optional<ClockState> clock;
};

void add_machine(const Machine& machine, HostReadings& readings) {
  readings.add(softnet_dropped, machine.softnet_dropped);
  readings.add(softnet_time_squeezed, machine.softnet_time_squeezed);
  readings.add(rmem_max, machine.rmem_max);
  readings.add(wmem_max, machine.wmem_max);
  if (machine.clock) {
    readings.add(clock_synchronised, machine.clock->synchronised);
    readings.add(clock_offset, machine.clock->offset_ms);
  }
}

// 3. The collector.

constexpr std::chrono::seconds throttle_interval(30);  // a file for each CPU
constexpr std::chrono::seconds cards_interval(60);
constexpr std::size_t most_interrupts = 64;  // read in a pass, about 5 us each

class HostCollector final : public Collector {
 public:
  HostCollector(const Services& services, const config::Settings& settings)
      : root_(services.root), files_(root_) {
    if (services.resident && settings.truth(count_frag_needed)) frag_needed_.emplace();
  }

  bool is_sampled() const override { return false; }

  void read(Devices& devices, Report& report) override {
    own_ = read_protocols(files_, report);
    read_frag_needed(report);
    machine_.rmem_max = take(rmem_max_.read(), "net.core.rmem_max", report, parse_number);
    machine_.wmem_max = take(wmem_max_.read(), "net.core.wmem_max", report, parse_number);
    machine_.clock = read_clock_state();
    cpus_ = take(stat_.read(16 << 20), "/proc/stat", report, kernel::parse_stat)
                .value_or(std::vector<kernel::CpuTimes>());
    read_softnet(report);
    read_throttles(report);
    read_cards(devices, report);
    read_others(devices, report);
  }

  void advance(const Now& now, const Devices&, Peers&, Events&) override {
    advanced_ = now.monotonic;
    load_ = kernel::derive_load(told_cpus_, cpus_);
    irq_share_ = kernel::derive_busiest_share(told_interrupts_, interrupts_);
    if (told_cpus_.empty()) told_cpus_ = cpus_;  // the first window begins at once
    if (told_interrupts_.empty()) told_interrupts_ = interrupts_;
  }

  void emit(const Now&, const Devices&, const Peers&, Sink& sink) const override {
    HostReadings readings;
    add_protocols(own_, readings);
    add_machine(machine_, readings);
    readings.add(icmp_in_frag_needed, frags_needed_);
    readings.add(core_throttle_count, throttles_);
    if (load_) {
      readings.add(cpu_max_busy, load_->busy_percent);
      readings.add(cpu_max_softirq, load_->softirq_percent);
      readings.add(cpu_busiest, load_->busiest);
    }
    readings.add(irq_busiest_cpu, irq_share_);
    if (!readings.empty()) sink.take(Record{host_family, {}, readings});
    for (const auto& [name, other] : others_) emit_other(name, other.seen, sink);
  }

  void told() override {
    told_cpus_ = cpus_;
    told_interrupts_ = interrupts_;
  }

 private:
  struct Other {
    std::uint64_t inode = 0;
    std::optional<kernel::NetFiles> files;
    ProtocolCounters seen;
    bool used = false;  // by a device, in this read
  };

  static ProtocolCounters read_protocols(kernel::NetFiles& files, Report& report) {
    const auto ipv4 = take(files.read("snmp"), "/proc/net/snmp", report, kernel::parse_snmp);
    const auto text = files.read("snmp6");  // absent where IPv6 is
    const auto ipv6 = take(text, "/proc/net/snmp6", report, kernel::parse_snmp6);
    const bool failed = !ipv6 && (text || text.error().code != Errc::absent);
    // Without one of its parts a sum would go back.
    if (!ipv4 || failed) return {};
    return ipv6 ? kernel::sum(*ipv4, *ipv6) : *ipv4;
  }

  void read_softnet(Report& report) {
    const auto cpus =
        take(files_.read("softnet_stat"), "/proc/net/softnet_stat", report,
             [&](std::string_view text) { return kernel::parse_softnet_stat(text, cpus_); });
    machine_.softnet_dropped = machine_.softnet_time_squeezed = std::nullopt;
    if (!cpus) return;
    softnet_dropped_.take(*cpus, &kernel::CpuSoftnet::dropped);
    softnet_time_squeezed_.take(*cpus, &kernel::CpuSoftnet::time_squeezed);
    machine_.softnet_dropped = softnet_dropped_.sum();
    machine_.softnet_time_squeezed = softnet_time_squeezed_.sum();
  }

  void read_frag_needed(Report& report) {
    if (!frag_needed_) return;
    const auto count = frag_needed_->read();
    frags_needed_ = count ? std::optional(*count) : std::nullopt;
    if (!count) report.failed(count.error());
  }

  void read_throttles(Report& report) {
    if (throttles_at_ && *throttles_at_ + throttle_interval > advanced_) return;
    throttles_at_ = advanced_;
    const auto cpus = kernel::read_core_throttles(root_, cpus_);
    if (cpus) throttle_sum_.take(*cpus, &kernel::CpuThrottles::count);
    throttles_ = cpus ? std::optional(throttle_sum_.sum()) : std::nullopt;
    if (!cpus) report.failed(cpus.error());
  }

  void read_cards(const Devices& devices, Report& report) {
    sockets_.look_up(devices, advanced_, report);
    underlay_.look_up(devices, sockets_, advanced_, report);
    auto links = underlay_.all_links();
    if (links != links_ || !cards_at_ || *cards_at_ + cards_interval <= advanced_) {
      links_ = std::move(links);
      cards_at_ = advanced_;
      find_cards();
    }
    auto seen = kernel::read_interrupts(root_, numbers_);
    if (!seen) report.failed(seen.error());
    interrupts_ = seen ? std::move(*seen) : std::vector<kernel::CountedInterrupt>();
  }

  void find_cards() {
    numbers_.clear();
    for (const auto index : links_) {
      const auto link = kernel::read_link(netlink_, index);
      if (!link || numbers_.size() >= most_interrupts) continue;
      const auto some =
          kernel::find_interrupts(root_, link->name, most_interrupts - numbers_.size());
      numbers_.insert(numbers_.end(), some.begin(), some.end());
    }
  }

  void read_others(const Devices& devices, Report& report) {
    for (auto& [name, other] : others_) other.used = false;
    for (const auto& device : devices.devices) {
      if (!device.netns.empty()) others_[device.netns].used = true;
    }
    std::erase_if(others_, [](const auto& other) { return !other.second.used; });
    for (auto& [name, other] : others_) {
      const auto path = kernel::namespace_path(root_, name);
      const auto inode = kernel::namespace_inode(path);
      const auto before = std::exchange(other.inode, inode ? *inode : 0);
      other.seen = {};
      if (!inode || !other.files || before != *inode) other.files.reset();
      if (!inode) continue;  // the wireguard collector says so
      if (!other.files) other.files.emplace(root_, path);
      other.seen = read_protocols(*other.files, report);
    }
  }

  static void emit_other(const std::string& name, const ProtocolCounters& seen, Sink& sink) {
    HostReadings readings;
    add_protocols(seen, readings);
    const Label whose[] = {{&netns_label, name}};
    if (!readings.empty()) sink.take(Record{host_family, whose, readings});
  }

  const Root& root_;
  kernel::NetFiles files_;
  KeptFile stat_{root_, "proc/stat"};
  KeptFile rmem_max_{root_, "proc/sys/net/core/rmem_max"};
  KeptFile wmem_max_{root_, "proc/sys/net/core/wmem_max"};
  kernel::Netlink netlink_{kernel::WireGuardReader::open_own_netlink(), NETLINK_ROUTE};
  kernel::SocketNamespaces sockets_{root_};
  kernel::Underlay underlay_{netlink_};
  Clock::time_point advanced_{};  // when the last advance was

  ProtocolCounters own_;
  std::optional<kernel::FragNeeded> frag_needed_;
  std::optional<std::uint64_t> frags_needed_;
  Machine machine_;
  std::vector<kernel::CpuTimes> cpus_, told_cpus_;  // now, and at the last gather
  std::optional<kernel::CpuLoad> load_;
  std::optional<Clock::time_point> throttles_at_, cards_at_;
  std::optional<std::uint64_t> throttles_;
  kernel::CpuSum<std::uint64_t> throttle_sum_;
  kernel::CpuSum<std::uint32_t> softnet_dropped_, softnet_time_squeezed_;
  std::vector<std::uint32_t> links_;  // of the underlay
  std::vector<unsigned> numbers_;     // their cards' interrupts
  std::vector<kernel::CountedInterrupt> interrupts_, told_interrupts_;
  std::optional<double> irq_share_;
  std::map<std::string, Other> others_;  // by name
};

std::unique_ptr<Collector> make(const Services& services, const config::Settings& settings) {
  return std::make_unique<HostCollector>(services, settings);
}

}  // namespace

extern const Entry host;
const Entry host{{"host", Takes::truth, "true",
                  "Reads what the host does to its tunnels: buffer errors, fragments, the busiest "
                  "CPU, interrupts, heat, the clock"},
                 families,
                 options,
                 make};

}  // namespace wgvitals::collect
