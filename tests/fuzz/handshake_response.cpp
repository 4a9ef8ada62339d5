// A real response to an initiation, changed in any way, also under a right MAC1; and any bytes in
// its place.

#include <algorithm>

#include "tests/fuzz/check.h"
#include "tests/fuzz/wg_exchange.h"

namespace {

using namespace wgvitals::fuzz;
using Packet = WgExchange::Packet;
using Verdict = wgvitals::probe::Initiator::Verdict;

// The server's index is part of no proof but MAC1, which everybody can make who knows our key.
bool is_the_same(const Packet& packet, Packet real, bool signed_anew) {
  if (signed_anew) {
    const auto behind = std::copy(packet.begin() + 4, packet.begin() + 8, real.begin() + 4);
    std::copy(packet.begin() + 60, packet.begin() + 76, behind + 52);
  }
  return packet == real;
}

void judge(WgExchange& exchange, const Packet& packet, bool signed_anew) {
  auto& initiator = exchange.initiator();
  exchange.rewind();
  const bool has_mac1 = initiator.has_valid_mac1(packet);
  const bool same = is_the_same(packet, exchange.response(), signed_anew);
  const auto verdict = initiator.consume_response(packet);
  check((verdict == Verdict::authentic) == same, "authentic is the real response alone");
  check(initiator.has_session() == same, "a session comes of the real response alone");
  if (verdict == Verdict::psk_mismatch) {
    check(has_mac1, "psk_mismatch is said of a valid MAC1");
    check(wgvitals::probe::receiver_of(packet) == WgExchange::index, "and of our index");
  }
  const auto after = initiator.consume_response(exchange.response());
  check((after == Verdict::authentic) != same,
        "the real response counts once, whatever came before");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static WgExchange exchange(false);
  judge(exchange, Packet(data, data + size), false);
  Bytes bytes(data, size);
  const bool signed_anew = bytes.flag();
  auto packet = changed(exchange.response(), bytes);
  const bool can_be_signed = signed_anew && packet.size() == wgvitals::probe::response_size;
  if (can_be_signed) {
    exchange.server().sign(std::span<std::uint8_t, 92>(packet.data(), packet.size()));
  }
  judge(exchange, packet, can_be_signed);
  return 0;
}
