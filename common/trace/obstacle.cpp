#include "common/trace/obstacle.h"

#include <array>
#include <filesystem>
#include <string>
#include <system_error>

#include "common/base/capabilities.h"

namespace wgvitals::trace {
namespace {

bool may_load() {
  return has_capability(Capability::sys_admin) ||
         (has_capability(Capability::bpf) && has_capability(Capability::perfmon));
}

}  // namespace

std::optional<Error> find_obstacle(const Root& root, std::string_view who) {
  const auto say = [&](Errc code, const std::string& what) {
    return Error{code, 0, std::string(who) + ": " + what};
  };
  std::error_code error;
  if (!std::filesystem::exists(root.full_path("sys/kernel/btf/vmlinux"), error)) {
    return say(Errc::absent,
               "needs the kernel's own types (BTF), which this one does not have: "
               "CONFIG_DEBUG_INFO_BTF");
  }
  const auto lockdown = root.read("sys/kernel/security/lockdown");
  if (lockdown && lockdown->find("[confidentiality]") != std::string::npos) {
    return say(Errc::denied,
               "the kernel is locked down (confidentiality), which forbids eBPF to read its "
               "memory");
  }
  if (!may_load()) {
    return say(Errc::denied, "needs CAP_BPF and CAP_PERFMON: " +
                                 to_grant(std::array{Capability::perfmon, Capability::bpf}));
  }
  return std::nullopt;
}

}  // namespace wgvitals::trace
