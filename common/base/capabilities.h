// The capabilities of this process (capabilities(7)).
#pragma once

#include <cstdint>

namespace wgvitals {

enum class Capability : std::uint8_t {
  dac_override = 1,
  net_admin = 12,
  net_raw = 13,
  sys_admin = 21
};

// File capabilities are given as permitted only ("=p"), so that a unit whose bounding set lacks one
// can still start the program: this makes effective what was given.
void raise_capabilities();

bool has_capability(Capability capability);

}  // namespace wgvitals
