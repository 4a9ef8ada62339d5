// A real exchange of WireGuard's initiator with its server, the same in every run, and changed
// copies of its packets.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "common/probe/noise.h"
#include "tests/fuzz/bytes.h"
#include "tests/support/wg_responder.h"

namespace wgvitals::fuzz {

class WgExchange {
 public:
  using Packet = std::vector<std::uint8_t>;

  // An initiation is under way, or a session has come of it.
  explicit WgExchange(bool session);
  void rewind();  // to how it was at first

  probe::Initiator& initiator() { return *initiator_; }
  const test::WgResponder& server() const { return *server_; }
  test::WgResponder& server() { return *server_; }
  const Packet& response() const { return response_; }
  const Packet& cookie_reply() const { return cookie_reply_; }

  static constexpr std::uint32_t index = 0x01020304;
  static constexpr test::WgResponder::Cookie cookie{1, 4, 9, 16, 25};

 private:
  std::shared_ptr<const probe::Crypto> crypto_;
  probe::HandshakeSecrets secrets_{}, first_secrets_{};
  std::unique_ptr<test::WgResponder> server_;
  std::unique_ptr<probe::Initiator> initiator_, first_;
  Packet response_, cookie_reply_;
};

// The packet after the changes that the bytes choose: bits, fields, length, parts of itself.
// Without bytes it is as it was.
WgExchange::Packet changed(WgExchange::Packet packet, Bytes& bytes);

}  // namespace wgvitals::fuzz
