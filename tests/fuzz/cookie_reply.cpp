// A real cookie reply to an initiation, changed in any way, and any bytes in its place.

#include "tests/fuzz/check.h"
#include "tests/fuzz/wg_exchange.h"

namespace {

using namespace wgvitals::fuzz;
using Packet = WgExchange::Packet;

void judge(WgExchange& exchange, const Packet& packet) {
  const auto cookie = exchange.initiator().consume_cookie_reply(packet);
  check(cookie.has_value() == (packet == exchange.cookie_reply()),
        "a cookie comes of the real reply alone");
  check(!cookie || *cookie == WgExchange::cookie, "it is the server's");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static WgExchange exchange(false);
  judge(exchange, Packet(data, data + size));
  Bytes bytes(data, size);
  judge(exchange, changed(exchange.cookie_reply(), bytes));
  return 0;
}
