// Connection tracking: how full its table is, what it counted, and the flows of WireGuard's ports.

#include "common/kernel/conntrack.h"

#include <linux/netlink.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <filesystem>
#include <memory>
#include <set>
#include <string>
#include <utility>

#include "common/collect/collector.h"
#include "common/collect/walk_pace.h"
#include "common/kernel/conntrack_flows.h"
#include "common/kernel/module.h"
#include "common/kernel/namespace.h"
#include "common/kernel/udp_sockets.h"
#include "common/kernel/wireguard.h"
#include "common/model/label_names.h"

namespace wgvitals::collect {
namespace {

using config::Option;
using config::Takes;
using kernel::ConntrackCpu;
using kernel::ConntrackTable;
using kernel::PortFlows;
using Clock = std::chrono::steady_clock;

// 1. What is said. Names and types of the fields marked =T are Telegraf's.

constexpr LabelName cpu_label{"cpu"};
constexpr const LabelName* table_labels[] = {&netns_label};
constexpr const LabelName* counter_labels[] = {&cpu_label, &netns_label};
constexpr Place places[] = {{"conntrack"}};

constexpr Metric table_count{"ip_conntrack_count",
                             Type::f64,
                             Kind::gauge,
                             Unit::none,
                             "Flows in the table",
                             {"conntrack", ""},
                             "wireguard_conntrack_table_entries",
                             true};
constexpr Metric table_max{"ip_conntrack_max",
                           Type::f64,
                           Kind::gauge,
                           Unit::none,
                           "Most flows that the table takes",
                           {"conntrack", "max"},
                           "wireguard_conntrack_table_limit",
                           true};
constexpr Metric percent_used{"percent_used",
                              Type::f64,
                              Kind::gauge,
                              Unit::percent,
                              "Flows of the most that the table takes",
                              {"percent", "used"},
                              "wireguard_conntrack_used_ratio"};
constexpr Metric buckets{"buckets", Type::i64, Kind::gauge, Unit::none,
                         "Size of the hash table; much fewer than flows: look-ups are slow"};
constexpr const Metric* table_metrics[] = {&table_count, &table_max, &percent_used, &buckets};
constexpr Family table_family{"conntrack", "The connection tracking table", table_metrics,
                              table_labels, places};

constexpr Metric entries{"entries",
                         Type::u64,
                         Kind::gauge,
                         Unit::none,
                         "Flows in the table: of all CPUs, whichever is told",
                         {},
                         {},
                         true};

struct Counter {
  Metric metric;
  ConntrackCpu::Counter ConntrackCpu::*value;
};
constexpr Counter counter(Name field, ConntrackCpu::Counter ConntrackCpu::*value, Unit unit,
                          std::string_view help, bool telegraf = true) {
  return {{field, Type::u64, Kind::counter, unit, help, {}, {}, telegraf}, value};
}
constexpr std::array counters{
    counter("searched", &ConntrackCpu::searched, Unit::none,
            "Look-ups; 0 where the kernel no longer counts them"),
    counter("found", &ConntrackCpu::found, Unit::none,
            "Look-ups that found a flow (newer kernels: while a new one was confirmed)"),
    counter("new", &ConntrackCpu::new_flows, Unit::none,
            "Flows begun; 0 where the kernel no longer counts them"),
    counter("invalid", &ConntrackCpu::invalid, Unit::packets, "Packets that fit no flow"),
    counter("ignore", &ConntrackCpu::ignore, Unit::packets,
            "Packets passed over; 0 where the kernel no longer counts them"),
    counter("delete", &ConntrackCpu::deleted, Unit::none,
            "Flows removed; 0 where the kernel no longer counts them"),
    counter("delete_list", &ConntrackCpu::delete_list, Unit::none,
            "Flows put on the dying list; 0 where the kernel no longer counts them"),
    counter("insert", &ConntrackCpu::insert, Unit::none, "Flows put into the table"),
    counter("insert_failed", &ConntrackCpu::insert_failed, Unit::none,
            "Flows that found their place taken: a packet each is lost"),
    counter("drop", &ConntrackCpu::drop, Unit::packets,
            "Packets dropped because no flow could be made for them: the table is full"),
    counter("early_drop", &ConntrackCpu::early_drop, Unit::none,
            "Flows thrown out to make room in a full table"),
    counter("icmp_error", &ConntrackCpu::error, Unit::packets,
            "Packets whose ICMP error could not be tracked"),
    counter("expect_new", &ConntrackCpu::expect_new, Unit::none,
            "Flows that an expectation was waiting for"),
    counter("expect_create", &ConntrackCpu::expect_create, Unit::none, "Expectations made"),
    counter("expect_delete", &ConntrackCpu::expect_delete, Unit::none, "Expectations removed"),
    counter("search_restart", &ConntrackCpu::search_restart, Unit::none,
            "Look-ups begun anew because the table was changed"),
    counter("clash_resolve", &ConntrackCpu::clash_resolve, Unit::none,
            "Flows that found their place taken, and no packet was lost; kernels since 5.9", false),
    counter("chain_toolong", &ConntrackCpu::chain_toolong, Unit::none,
            "Flows refused because their chain in the table was too long; kernels since 5.15",
            false),
};
constexpr auto counter_metrics = [] {
  std::array<const Metric*, counters.size() + 1> metrics{&entries};
  for (std::size_t i = 0; i < counters.size(); ++i) metrics[i + 1] = &counters[i].metric;
  return metrics;
}();
constexpr Family counter_family{"conntrack", "What connection tracking counted: cpu=all, or a CPU",
                                counter_metrics, counter_labels, places};

constexpr const LabelName* flow_labels[] = {&device_label, &netns_label};
constexpr Place flow_places[] = {{"wireguard", &device_label}};
constexpr Metric flows{"flows", Type::i64, Kind::gauge, Unit::none,
                       "Flows of the device's UDP port at one of our own addresses"};
constexpr Metric unreplied{"unreplied", Type::i64, Kind::gauge, Unit::none,
                           "Of them, those with packets in one direction only"};
constexpr Metric assured{"assured", Type::i64, Kind::gauge, Unit::none,
                         "Of them, those that a full table does not throw out"};
constexpr Metric min_timeout{"min_timeout_s", Type::i64, Kind::gauge, Unit::seconds,
                             "Shortest time until one of them is forgotten, unless a packet comes"};
constexpr const Metric* flow_metrics[] = {&flows, &unreplied, &assured, &min_timeout};
constexpr Family flow_family{"wireguard_conntrack", "A device's flows in connection tracking",
                             flow_metrics, flow_labels, flow_places};

constexpr const Family* families[] = {&table_family, &counter_family, &flow_family};

constexpr Option per_cpu{"conntrack_per_cpu", Takes::truth, "false",
                         "Tells the counters of each CPU, too, as Telegraf's collect = [\"all\", "
                         "\"percpu\"]"};
constexpr Option count_flows{
    "conntrack_flows", Takes::truth, "false",
    "Counts the flows of each device's port. Needs CAP_NET_ADMIN and the kernel's walk through the "
    "whole table: 8 ms with 262144 buckets, 1.5 ms more for every 1000 flows"};
constexpr Option flows_max{"conntrack_flows_max",
                           Takes::whole,
                           "100000",
                           "With more flows in the table than this, those of the devices are not "
                           "counted: it would take too long",
                           1,
                           100'000'000};
constexpr const Option* options[] = {&per_cpu, &count_flows, &flows_max};

// 2. From values to values, from values to records.

// Of what no CPU tells there is no sum.
ConntrackCpu derive_total(const std::vector<ConntrackCpu>& cpus) {
  ConntrackCpu total;
  for (const auto& cpu : cpus) {
    for (const auto& counter : counters) {
      auto& sum = total.*counter.value;
      if (const auto& one = cpu.*counter.value) sum = sum.value_or(0) + *one;
    }
  }
  return total;
}

void emit_table(const ConntrackTable& table, std::string_view netns, Sink& sink) {
  Readings<std::size(table_metrics)> readings;
  readings.add(table_count, table.count);
  readings.add(table_max, table.max);
  if (table.max.value_or(0) != 0) {
    readings.add(percent_used,
                 100.0 * static_cast<double>(table.count) / static_cast<double>(*table.max));
  }
  readings.add(buckets, table.buckets);
  const Label whose[] = {{&netns_label, netns}};
  sink.take(Record{table_family, whose, readings});
}

// Telegraf's are always written.
void emit_counters(const ConntrackCpu& cpu, std::uint64_t count, std::string_view name,
                   std::string_view netns, Sink& sink) {
  Readings<counter_metrics.size()> readings;
  readings.add(entries, count);
  for (const auto& counter : counters) {
    const auto& value = cpu.*counter.value;
    if (value || counter.metric.telegraf) readings.add(counter.metric, value.value_or(0));
  }
  const Label whose[] = {{&cpu_label, name}, {&netns_label, netns}};
  sink.take(Record{counter_family, whose, readings});
}

void emit_flows(const PortFlows& seen, std::string_view device, std::string_view netns,
                Sink& sink) {
  Readings<std::size(flow_metrics)> readings;
  readings.add(flows, seen.flows);
  readings.add(unreplied, seen.unreplied);
  readings.add(assured, seen.assured);
  readings.add(min_timeout, seen.min_timeout_s);
  const Label whose[] = {{&device_label, device}, {&netns_label, netns}};
  sink.take(Record{flow_family, whose, readings});
}

// A network namespace, and what was seen there last.
struct Space {
  Space(const Root& root, kernel::KernelModule& udp_diag, const std::filesystem::path& path,
        std::string its_name, std::uint64_t its_place)
      : name(std::move(its_name)),
        place(its_place),
        netfilter(opener(path), NETLINK_NETFILTER),
        route(opener(path), NETLINK_ROUTE),
        sockets(root, udp_diag, path) {}

  static kernel::OpenNetlink opener(const std::filesystem::path& path) {
    return path.empty() ? kernel::WireGuardReader::open_own_netlink()
                        : kernel::open_netlink_in(path);
  }

  std::string name;  // empty: our own
  std::uint64_t place;
  kernel::Netlink netfilter, route;
  kernel::UdpSockets sockets;
  std::optional<ConntrackTable> table;
  std::vector<ConntrackCpu> cpus;
  std::vector<kernel::UdpPort> wanted;
  std::vector<PortFlows> ports;  // those that have a socket here, in ascending order
};

// 3. The collector.

class ConntrackCollector final : public Collector {
 public:
  ConntrackCollector(const Services& services, const config::Settings& settings)
      : root_(services.root),
        per_cpu_(settings.truth(per_cpu)),
        count_flows_(settings.truth(count_flows)),
        flows_max_(static_cast<std::uint64_t>(settings.whole(flows_max))) {}

  bool is_sampled() const override { return false; }

  void read(Devices& devices, Report& report) override {
    auto table = files_.read_table();
    own_.table = kept(table, report);
    if (!own_.table) {
      others_.clear();
      return;
    }
    has_ctnetlink_ = ctnetlink_.look() == kernel::KernelModule::State::there;
    walked_ = {};
    read_own(devices, report);
    find_others(devices, report);
    for (auto& other : others_) read_other(*other, devices, report);
    if (walked_.count() != 0) pace_.took(advanced_, walked_);
  }

  void advance(const Now& now, const Devices&, Peers&, Events&) override {
    advanced_ = now.monotonic;
  }

  void emit(const Now&, const Devices& devices, const Peers&, Sink& sink) const override {
    emit_space(own_, sink);
    for (const auto& other : others_) emit_space(*other, sink);
    if (!own_.table) return;
    for (const auto& device : devices.devices) {
      const auto* port = find_flows(device);
      if (port != nullptr) emit_flows(*port, device.name, device.netns, sink);
    }
  }

 private:
  template <class T>
  static std::optional<T> kept(Result<T>& result, Report& report) {
    if (result) return std::move(*result);
    if (result.error().code != Errc::absent) report.failed(result.error());
    return std::nullopt;
  }

  // What ctnetlink does not tell, procfs may, and then nothing is missed but flows; what neither
  // does is absent.
  void read_own(const Devices& devices, Report& report) {
    const auto trouble = read_by_netlink(own_, devices, report);
    if (own_.cpus.empty()) {
      auto cpus = files_.read_cpus();
      own_.cpus = kept(cpus, report).value_or(std::vector<ConntrackCpu>());
    }
    if (trouble && (own_.cpus.empty() || count_flows_)) report.failed(*trouble);
  }

  // Its files cannot be read from here, so that there is nothing without ctnetlink. Where we have
  // no right in it, that is told with its devices, and here where flows are asked for.
  void read_other(Space& space, const Devices& devices, Report& report) {
    auto table = kernel::read_conntrack_table(space.netfilter);
    const bool denied = !table && table.error().code == Errc::denied;
    space.table = denied && !count_flows_ ? std::nullopt : kept(table, report);
    space.ports.clear();
    if (!space.table) return;
    if (const auto trouble = read_by_netlink(space, devices, report)) report.failed(*trouble);
  }

  // What kept it from being asked.
  std::optional<Error> read_by_netlink(Space& space, const Devices& devices, Report& report) {
    space.cpus.clear();
    space.ports.clear();
    if (has_ctnetlink_) {
      auto cpus = kernel::read_conntrack_cpus(space.netfilter);
      if (!cpus && cpus.error().code != Errc::absent) return cpus.error();
      if (cpus) space.cpus = std::move(*cpus);
    }
    if (count_flows_) read_flows(space, devices, report);
    return std::nullopt;
  }

  // A device that was moved into a namespace keeps its socket where it was made: perhaps here.
  void read_flows(Space& space, const Devices& devices, Report& report) {
    space.wanted.clear();
    for (const auto& device : devices.devices) {
      if (device.listen_port == 0) continue;
      if (space.name.empty() || device.netns == space.name) {
        space.wanted.push_back({device.listen_port, std::nullopt});
      }
    }
    kernel::sort_once(space.wanted);
    if (space.wanted.empty()) return;
    const auto counted = count_ports(space, report);
    if (counted) return;
    space.ports.clear();
    report.failed({counted.error().code, counted.error().number,
                   "conntrack_flows: " + counted.error().where});
  }

  Result<Done> count_ports(Space& space, Report& report) {
    if (!has_ctnetlink_ || space.cpus.empty()) return Error{Errc::io, 0, ctnetlink_.advice()};
    if (space.table->count > flows_max_) {
      return Error{Errc::io, 0, "the table has more flows than conntrack_flows_max"};
    }
    if (!pace_.is_due(advanced_)) {
      report.noted({Errc::io, 0,
                    "conntrack_flows: the kernel's walk through the flows of all namespaces is so "
                    "long that it is not taken at each gather"});
      return Done{};
    }
    if (auto read = space.sockets.read(space.wanted); !read) return read;
    for (const auto& wanted : space.wanted) {
      if (wanted.sum) space.ports.emplace_back().port = wanted.number;
    }
    const auto start = Clock::now();
    auto counted = kernel::count_flows(space.netfilter, space.route, space.ports);
    walked_ += Clock::now() - start;
    return counted;
  }

  // Null: its socket was not seen.
  const PortFlows* find_flows(const SeenDevice& device) const {
    for (const auto& other : others_) {
      if (other->name != device.netns) continue;
      if (const auto* port = kernel::find_port(other->ports, device.listen_port)) return port;
    }
    return kernel::find_port(own_.ports, device.listen_port);
  }

  void find_others(const Devices& devices, Report& report) {
    std::set<std::string_view> names;
    for (const auto& device : devices.devices) {
      if (has_ctnetlink_ && !device.netns.empty()) names.insert(device.netns);
    }
    std::erase_if(others_, [&](const auto& other) { return !names.contains(other->name); });
    for (const auto name : names) find_other(name, report);
  }

  // One made anew under its old name is another.
  void find_other(std::string_view name, Report& report) {
    const auto path = kernel::namespace_path(root_, name);
    const auto place = kernel::namespace_inode(path);
    const auto known = std::find_if(others_.begin(), others_.end(),
                                    [&](const auto& other) { return other->name == name; });
    if (!place) {
      if (known != others_.end()) others_.erase(known);
      if (place.error().code != Errc::absent) report.failed(place.error());
      return;
    }
    if (known != others_.end() && (*known)->place == *place) return;
    if (known != others_.end()) others_.erase(known);
    others_.push_back(std::make_unique<Space>(root_, udp_diag_, path, std::string(name), *place));
  }

  void emit_space(const Space& space, Sink& sink) const {
    if (!space.table) return;
    emit_table(*space.table, space.name, sink);
    const auto count = space.table->count;
    if (!space.cpus.empty()) {
      emit_counters(derive_total(space.cpus), count, "all", space.name, sink);
    }
    if (!per_cpu_) return;
    for (const auto& cpu : space.cpus) {
      emit_counters(cpu, count, "cpu" + std::to_string(cpu.number), space.name, sink);
    }
  }

  const Root& root_;
  bool per_cpu_;
  bool count_flows_;
  std::uint64_t flows_max_;
  kernel::ConntrackFiles files_{root_};
  kernel::KernelModule ctnetlink_{root_, "nf_conntrack_netlink"}, udp_diag_{root_, "udp_diag"};
  bool has_ctnetlink_ = false;
  Space own_{root_, udp_diag_, {}, "", 0};
  std::vector<std::unique_ptr<Space>> others_;
  Clock::time_point advanced_{};  // when the last advance was
  Clock::duration walked_{};      // in this read
  WalkPace pace_;
};

std::unique_ptr<Collector> make(const Services& services, const config::Settings& settings) {
  return std::make_unique<ConntrackCollector>(services, settings);
}

}  // namespace

extern const Entry conntrack;
const Entry conntrack{{"conntrack", Takes::truth, "true",
                       "Reads connection tracking (netfilter's): its table and its counters. Needs "
                       "CAP_NET_ADMIN, or procfs; where it is not in use, nothing is told"},
                      families,
                      options,
                      make};

}  // namespace wgvitals::collect
