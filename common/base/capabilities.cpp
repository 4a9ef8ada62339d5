#include "common/base/capabilities.h"

#include <linux/capability.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <vector>

namespace wgvitals {
namespace {

struct Sets {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2]{};

  bool get() { return ::syscall(SYS_capget, &header, data) == 0; }
  void set() { (void)::syscall(SYS_capset, &header, data); }
};

struct Named {
  Capability capability;
  std::string_view name;
};
constexpr std::array names{
    Named{Capability::dac_override, "CAP_DAC_OVERRIDE"},
    Named{Capability::net_admin, "CAP_NET_ADMIN"},
    Named{Capability::net_raw, "CAP_NET_RAW"},
    Named{Capability::sys_admin, "CAP_SYS_ADMIN"},
    Named{Capability::perfmon, "CAP_PERFMON"},
    Named{Capability::bpf, "CAP_BPF"},
};

}  // namespace

void raise_capabilities() {
  Sets sets;
  if (!sets.get()) return;
  for (auto& half : sets.data) half.effective |= half.permitted;
  sets.set();
}

bool has_capability(Capability capability) {
  Sets sets;
  const auto bit = static_cast<unsigned>(capability);
  return sets.get() && (sets.data[bit / 32].effective >> (bit % 32) & 1) != 0;
}

std::string to_grant(std::span<const Capability> held, std::span<const Capability> missing) {
  std::string all;
  std::string lacked;
  for (const auto& [capability, name] : names) {
    const bool lacks = std::ranges::find(missing, capability) != missing.end();
    if (lacks) (lacked += lacked.empty() ? "" : " ") += name;
    if (!lacks && std::ranges::find(held, capability) == held.end()) continue;
    if (!all.empty()) all += ',';
    for (const char c : name) all += c == '_' ? c : static_cast<char>(c - 'A' + 'a');
  }
  return "setcap " + all + "=p on the program, or AmbientCapabilities=" + lacked +
         " (root: CapabilityBoundingSet=) in its unit";
}

std::string to_grant(std::span<const Capability> missing) {
  std::vector<Capability> held;
  for (const auto& [capability, name] : names) {
    if (::geteuid() != 0 && has_capability(capability)) held.push_back(capability);
  }
  return to_grant(held, missing);
}

}  // namespace wgvitals
