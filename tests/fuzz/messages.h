// A fuzzer's bytes as a run of netlink messages, checked as Netlink does it.
#pragma once

#include <cstdint>
#include <cstring>
#include <vector>

#include "common/kernel/netlink.h"

namespace wgvitals::fuzz {

template <class Take>
void for_each_message(const std::uint8_t* data, std::size_t size, Take&& take) {
  // A buffer of its own, so that reading beyond it is seen, aligned as the kernel's is.
  std::vector<std::uint32_t> words(size / 4 + 1);
  if (size > 0) std::memcpy(words.data(), data, size);
  auto left = static_cast<int>(size);
  const auto* message = reinterpret_cast<const nlmsghdr*>(words.data());
  for (; kernel::is_whole(*message, left); message = ::mnl_nlmsg_next(message, &left))
    take(*message);
}

}  // namespace wgvitals::fuzz
