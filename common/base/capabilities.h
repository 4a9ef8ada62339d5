// The capabilities of this process (capabilities(7)).
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace wgvitals {

enum class Capability : std::uint8_t {
  dac_override = 1,
  net_admin = 12,
  net_raw = 13,
  sys_admin = 21,
  perfmon = 38,
  bpf = 39
};

// File capabilities are given as permitted only ("=p"), so that a unit whose bounding set lacks one
// can still start the program: this makes effective what was given.
void raise_capabilities();

bool has_capability(Capability capability);

// "setcap cap_net_admin,cap_net_raw=p on the program, or ... in its unit": how to get what is
// missing. `held` as well, as setcap takes away what it does not name.
std::string to_grant(std::span<const Capability> held, std::span<const Capability> missing);

// With what this process has; root has it from elsewhere.
std::string to_grant(std::span<const Capability> missing);

}  // namespace wgvitals
