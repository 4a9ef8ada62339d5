// wgvitals check: what is wrong with a configuration, which rights are missing, how much comes out.

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <set>

#include "common/base/capabilities.h"
#include "common/base/text.h"
#include "common/collect/engine.h"
#include "common/collect/families.h"
#include "common/kernel/module.h"
#include "plugins/cli/commands.h"

namespace wgvitals::cli {
namespace {

using std::chrono::milliseconds;

struct Asked {
  std::string config;
  std::string outage = "1h", interval = "10s";
  bool options = false;
};

// Counts lines of line protocol and the series that they belong to.
class Volume final : public Sink {
 public:
  void begin(const Now&) override {}
  void take(const Record& record) override {
    if (record.readings.empty()) return;
    ++lines_;
    std::string tags(record.family.name.view());
    for (const auto& label : record.labels) {
      if (!label.value.empty()) tags += fmt::format(",{}={}", label.name->tag.view(), label.value);
    }
    series_.insert(std::move(tags));
  }
  void take(const Event&) override {}

  std::size_t lines() const { return lines_; }
  std::size_t series() const { return series_.size(); }

 private:
  std::size_t lines_ = 0;
  std::set<std::string> series_;
};

bool is_collectd(const std::string& text) {
  return text.find("<Plugin") != std::string::npos || text.find("LoadPlugin") != std::string::npos;
}

// The settings of either host's file; problems are printed and counted.
config::Settings read_config(const std::string& path, int& problems) {
  const auto say = [&](const std::string& text) {
    fmt::print("{}\n", text);
    ++problems;
  };
  config::Settings settings(collect::schema());
  const auto text = Root().read(std::filesystem::absolute(path).string());
  if (!text) {
    say("cannot be read: " + to_text(text.error()));
    return settings;
  }
  std::vector<config::Problem> found;
  const auto section = is_collectd(*text)
                           ? config::parse_collectd(*text, path)
                           : config::parse_toml(*text, path, settings.schema(), found);
  if (section) {
    settings.read(*section, found);
  } else {
    say(section.error().where);
  }
  std::ranges::stable_sort(found, {}, &config::Problem::line);
  for (const auto& problem : found) say(config::to_text(path, problem));
  return settings;
}

void print_volume(const config::Settings& settings, milliseconds outage, milliseconds interval) {
  Volume volume;
  constexpr milliseconds wait(3000);
  collect::Engine engine(settings, {.log = std::make_shared<TerminalLog>(), .first_window = wait});
  engine.start();
  const bool in_time = engine.gather(volume, wait);
  engine.stop();
  if (!in_time) fmt::print("the engine was late: the counts below are not whole\n");
  const auto gathers =
      static_cast<std::size_t>((outage + interval - milliseconds(1)) / interval) + 1;
  fmt::print("\nA gather now makes {} lines in {} series.\n", volume.lines(), volume.series());
  fmt::print(
      "Telegraf: metric_buffer_limit = {} survives an outage of {} s at an interval of {} s "
      "(other inputs come on top).\n",
      std::max<std::size_t>(10'000, volume.lines() * gathers),
      std::chrono::duration_cast<std::chrono::seconds>(outage).count(),
      static_cast<double>(interval.count()) / 1000);
}

// With the rights in force, capabilities included; what is not there is in nobody's way.
bool may(const std::filesystem::path& path, int mode) {
  return ::faccessat(AT_FDCWD, path.c_str(), mode, AT_EACCESS) == 0 || errno == ENOENT;
}

bool may_use_sockets(const std::filesystem::path& folder) {
  std::error_code failure;
  bool any = false;
  for (const auto& entry : std::filesystem::directory_iterator(folder, failure)) {
    any = true;
    if (entry.path().extension() == ".sock" && !may(entry.path(), W_OK)) return false;
  }
  return any || ::geteuid() == 0 || has_capability(Capability::dac_override);
}

struct Right {
  std::string_view what, right;
  bool given;
  std::string_view grant, exposes;
};

void print_rights() {
  const bool root = ::geteuid() == 0;
  const Right rights[] = {
      {"kernel peers", "CAP_NET_ADMIN", has_capability(Capability::net_admin),
       "setcap cap_net_admin=p /usr/bin/wgvitals-execd",
       "the program could change the host's network; every user who may run it could, too"},
      {"pings, hops, trace", "CAP_NET_RAW", has_capability(Capability::net_raw),
       "setcap cap_net_admin,cap_net_raw=p /usr/bin/wgvitals-execd (or net.ipv4.ping_group_range)",
       "the program could send and read any packet of the host"},
      {"exact CPU times", "CAP_BPF, CAP_PERFMON",
       has_capability(Capability::bpf) && has_capability(Capability::perfmon),
       "setcap cap_net_admin,cap_net_raw,cap_bpf,cap_perfmon=p /usr/bin/wgvitals-execd, and "
       "libbpf1",
       "the program could read the kernel's memory"},
      {"userspace sockets", "root", may_use_sockets("/var/run/wireguard"),
       "run as root: collectd, or a unit with User=root",
       "a userspace device's socket tells its private key and takes orders"},
      {"names in files", "read", may("/etc/wireguard", R_OK | X_OK),
       "systemctl enable --now wgvitals-names.path (exports names without secrets)",
       "names and labels become readable for everybody; the private keys do not"},
      {"namespaces", "CAP_SYS_ADMIN", has_capability(Capability::sys_admin),
       "setcap cap_net_admin,cap_sys_admin=p /usr/bin/wgvitals-execd",
       "nearly all that root may do"},
  };
  fmt::print("\nRights of this user{}:\n", root ? " (root)" : "");
  for (const auto& right : rights) {
    fmt::print("  {:<18} {:<20} {}\n", right.what, right.right, right.given ? "given" : "MISSING");
    if (!right.given) {
      fmt::print("    grant:   {}\n    exposes: {}\n", right.grant, right.exposes);
    }
  }
}

// What the kernel shows here of what is read: all else is told without it.
void print_host() {
  struct Source {
    std::string_view what, file, without;
  };
  constexpr Source sources[] = {
      {"exact CPU times", "/sys/kernel/btf/vmlinux",
       "the kernel tells no types (CONFIG_DEBUG_INFO_BTF): CPU times are estimated"},
      {"conntrack", "/proc/sys/net/netfilter/nf_conntrack_count",
       "connections are not tracked here (nf_conntrack): there is nothing to tell of them"},
      {"heat", "/sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count",
       "this CPU does not show it, as AMD's and those of virtual machines: no core_throttle_count"},
  };
  fmt::print("\nThis host shows:\n");
  const auto say = [](std::string_view what, std::string_view where, bool there,
                      std::string_view without) {
    fmt::print("  {:<18} {} {}\n", what, where, there ? "there" : "not there");
    if (!there) fmt::print("    without: {}\n", without);
  };
  std::error_code error;
  for (const auto& [what, file, without] : sources) {
    say(what, file, std::filesystem::exists(file, error), without);
  }
  const Root root;
  kernel::KernelModule udp_diag(root, "udp_diag");
  const bool there = udp_diag.look() == kernel::KernelModule::State::there;
  say("socket buffers", "udp_diag", there,
      there ? "" : udp_diag.advice() + ", else no socket_rcvbuf_bytes");
}

void print_option(const config::Option& option, std::string_view indent) {
  fmt::print("\n{0}{1} = {2}   ({3})\n{0}  {4}.\n{0}  Takes {5}.\n", indent, option.name.view(),
             config::to_toml_fallback(option), config::collectd_name(option.name.view()),
             option.help, config::expectation(option));
}

void print_options() {
  const auto schema = collect::schema();
  fmt::print("# Options: TOML (collectd). Each stands at its default.\n");
  for (const auto* option : schema.options) print_option(*option, "");
  fmt::print("\n# Blocks: each may come several times.\n");
  for (const auto* kind : schema.blocks) {
    fmt::print("\n[[inputs.wgvitals.{}]]   (<{}>)\n  {}.\n", kind->name.view(),
               config::collectd_name(kind->name.view()), kind->help);
    for (const auto* option : kind->options) print_option(*option, "  ");
  }
}

constexpr config::Option time_option{"time", config::Takes::duration, "1h", "",
                                     100,    30LL * 86'400'000};

int run(const Asked& asked) {
  if (asked.options) {
    print_options();
    return 0;
  }
  const auto outage = config::to_duration(time_option, asked.outage);
  const auto interval = config::to_duration(time_option, asked.interval);
  if (!outage || !interval) {
    fmt::print(stderr, "error: --outage and --interval take a time such as 10s or 2h\n");
    return 2;
  }
  int problems = 0;
  const auto settings =
      asked.config.empty() ? load_settings(std::nullopt) : read_config(asked.config, problems);
  if (!asked.config.empty() && problems == 0) fmt::print("{}: no problems\n", asked.config);
  print_volume(settings, *outage, *interval);
  print_rights();
  print_host();
  return problems == 0 ? 0 : 1;
}

}  // namespace

Run add_check(CLI::App& app) {
  const auto asked = std::make_shared<Asked>();
  app.add_option("CONFIG", asked->config, "wgvitals.toml, or a file of collectd");
  app.add_option("--outage", asked->outage, "How long the database may be away")
      ->capture_default_str();
  app.add_option("--interval", asked->interval, "Telegraf's interval")->capture_default_str();
  app.add_flag("--options", asked->options, "Print the reference of all options instead");
  return [asked] { return run(*asked); };
}

}  // namespace wgvitals::cli
