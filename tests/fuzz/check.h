// What a target demands; where it does not hold, the fuzzer keeps the input.
#pragma once

#include <cstdio>
#include <cstdlib>

namespace wgvitals::fuzz {

inline void check(bool holds, const char* what) {
  if (holds) return;
  static_cast<void>(std::fprintf(stderr, "not so: %s\n", what));
  std::abort();
}

}  // namespace wgvitals::fuzz
