// Data messages of a session, in any order, again, changed in any way, and any bytes in their
// place.

#include <algorithm>
#include <set>

#include "tests/fuzz/check.h"
#include "tests/fuzz/wg_exchange.h"

namespace {

using namespace wgvitals::fuzz;
using Packet = WgExchange::Packet;

constexpr std::size_t message_count = 200, window = 64;

Packet inner(std::size_t counter) { return Packet(counter / 16 * 16, 0x45); }

std::vector<Packet> seal_all(WgExchange& exchange) {
  std::vector<Packet> messages;
  messages.reserve(message_count);
  while (messages.size() < message_count) {
    messages.push_back(exchange.server().seal(inner(messages.size())));
  }
  return messages;
}

// What an initiator has to take, and what it takes.
class Session {
 public:
  Session(WgExchange& exchange, const std::vector<Packet>& messages)
      : exchange_(exchange), messages_(messages) {
    exchange.rewind();
  }

  void receive(const Packet& packet) {
    Packet into(packet.size());
    const auto opened = exchange_.initiator().open(packet, into);
    const auto found = std::find(messages_.begin(), messages_.end(), packet);
    const auto counter = static_cast<std::size_t>(found - messages_.begin());
    const bool known = found != messages_.end();
    const bool due = known && (taken_.empty() || counter + window > *taken_.rbegin()) &&
                     taken_.insert(counter).second;
    check(opened.has_value() == due, "each real message is taken once, and nothing else");
    check(!opened || Packet(opened->begin(), opened->end()) == inner(counter),
          "what comes out is what went in");
  }

 private:
  WgExchange& exchange_;
  const std::vector<Packet>& messages_;
  std::set<std::size_t> taken_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static WgExchange exchange(true);
  static const auto messages = seal_all(exchange);
  Session session(exchange, messages);
  session.receive(Packet(data, data + size));
  Bytes bytes(data, size);
  while (bytes.more()) {
    const auto& real = messages[bytes.below(message_count)];
    session.receive(changed(real, bytes));
  }
  return 0;
}
