// A socket that speaks in whole messages, at bytes: the seam where a test replays recorded ones.
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <span>

#include "common/base/fd.h"
#include "common/base/result.h"

namespace wgvitals {

class Datagram {
 public:
  virtual ~Datagram() = default;

  [[nodiscard]] virtual Result<Done> send(std::span<const std::byte> message) = 0;

  // One message into `buffer`; its size. timed_out where none came in time, malformed where it was
  // larger than the buffer, interrupted where the kernel had to drop some (ENOBUFS).
  [[nodiscard]] virtual Result<std::size_t> receive(std::span<std::byte> buffer,
                                                    std::chrono::milliseconds wait) = 0;
};

// Over a connected or bound socket, which it owns.
std::unique_ptr<Datagram> make_datagram(Fd socket);

}  // namespace wgvitals
