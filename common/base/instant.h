// Both clocks, read together: intervals by the one, what others stamped by the other.
#pragma once

#include <time.h>

#include <chrono>
#include <cstdint>

namespace wgvitals {

struct Instant {
  std::chrono::steady_clock::time_point mono;
  std::int64_t wall_ns = 0;  // since 1970
};

inline Instant read_clocks() {
  Instant now{std::chrono::steady_clock::now(), 0};
  timespec wall{};
  (void)::clock_gettime(CLOCK_REALTIME, &wall);  // last: closer to what is stamped
  now.wall_ns = wall.tv_sec * 1'000'000'000 + wall.tv_nsec;
  return now;
}

// The moment of the kernel's stamp (SO_TIMESTAMPNS) of what was received `now`: by its age, as a
// clock that was set in between makes it worthless.
inline Instant at_stamp(const timespec& stamp, const Instant& now) {
  constexpr std::chrono::seconds oldest(10);  // in a socket that is read at once
  const auto stamp_ns = std::int64_t{stamp.tv_sec} * 1'000'000'000 + stamp.tv_nsec;
  const std::chrono::nanoseconds age(now.wall_ns - stamp_ns);
  if (age.count() < 0 || age > oldest) return now;
  return {now.mono - age, stamp_ns};
}

}  // namespace wgvitals
