#include "common/base/clock.h"

#include <algorithm>

namespace wgvitals {

std::optional<ClockState> to_clock_state(const timex& state, int answer) {
  if (answer < 0) return std::nullopt;
  ClockState clock;
  clock.synchronised = answer != TIME_ERROR && (state.status & STA_UNSYNC) == 0;
  if (clock.synchronised) clock.error_ns = std::int64_t{std::max(state.esterror, 0L)} * 1000;
  const bool nanoseconds = (state.status & STA_NANO) != 0;
  clock.offset_ms = static_cast<double>(state.offset) / (nanoseconds ? 1e6 : 1e3);
  return clock;
}

std::optional<ClockState> read_clock_state() {
  timex state{};
  const int answer = ::adjtimex(&state);
  return to_clock_state(state, answer);
}

}  // namespace wgvitals
