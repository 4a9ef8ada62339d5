// What the kernel knows of its wall clock (adjtimex(2)).
#pragma once

#include <sys/timex.h>

#include <cstdint>
#include <optional>

namespace wgvitals {

struct ClockState {
  bool synchronised = false;
  std::int64_t error_ns = 0;  // estimated, where it is synchronised
  // What the kernel still has to slew. With a daemon that slews by itself (chrony) it is near 0.
  double offset_ms = 0;
};

// `answer`: what adjtimex() returned beside the state. Empty where it refused, as a filter of
// system calls may.
std::optional<ClockState> to_clock_state(const timex& state, int answer);
std::optional<ClockState> read_clock_state();

}  // namespace wgvitals
