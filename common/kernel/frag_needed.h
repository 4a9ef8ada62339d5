// Counts ICMP's "fragmentation needed" (type 3, code 4), which Linux counts with all other kinds of
// "destination unreachable" only.
#pragma once

#include <cstdint>

#include "common/base/fd.h"
#include "common/base/result.h"

namespace wgvitals::kernel {

// A raw socket with a filter in the kernel: what is not counted costs nothing. Of the network
// namespace that it is first read in. One thread.
class FragNeeded {
 public:
  // How many came since the first call. denied without CAP_NET_RAW.
  Result<std::uint64_t> read();

 private:
  Result<Done> open();

  Fd socket_;
  std::uint64_t taken_ = 0;
};

}  // namespace wgvitals::kernel
