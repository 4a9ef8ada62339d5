// What a tap sees: any bytes as a packet, and sequences of messages between a device and others.
// What the parser takes for handshake messages passes the kernel's filter, too.

#include <sys/socket.h>

#include <vector>

#include "common/base/fd.h"
#include "common/trace/handshakes.h"
#include "tests/fuzz/bytes.h"
#include "tests/fuzz/check.h"
#include "tests/support/handshake_packets.h"

namespace wgvitals::fuzz {
namespace {

using test::Packet;
using trace::Direction;

bool passes_filter(trace::Bytes packet) {
  struct Sockets {
    Sockets() {
      int pair[2];
      check(::socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, pair) == 0, "there are sockets");
      near = Fd(pair[0]);
      far = Fd(pair[1]);
      check(trace::attach_filter(far.get()).has_value(), "the kernel takes the filter");
    }
    Fd near, far;
  };
  static const Sockets sockets;
  static std::vector<std::uint8_t> buffer(trace::largest_packet);
  (void)::send(sockets.near.get(), packet.data(), packet.size(), 0);
  const auto seen = trace::receive(sockets.far.get(), buffer);
  return seen && seen.value();
}

void parse(trace::Bytes packet) {
  const auto udp = trace::parse_udp(packet);
  if (!udp) return;
  check(udp->payload.size() + 28 <= packet.size(), "the payload is part of the packet");
  auto rest = udp->payload;
  std::size_t cut = 0;
  while (const auto message = trace::next_message(rest)) {
    ++cut;
    check(message->mac1.empty() == (message->type == trace::MessageType::cookie_reply),
          "only a cookie reply has no mac1");
  }
  check(trace::holds_messages(udp->payload) == (cut > 0 && rest.empty()), "all or nothing");
  const bool first = trace::first_data(udp->payload).has_value();
  check(!first || cut == 0, "data is no handshake message");
  if (first || trace::holds_messages(udp->payload)) {
    check(passes_filter(packet), "the filter passes it");
  }
}

Packet to_message(Bytes& in) {
  const std::uint32_t first = in.number<std::uint8_t>(), second = in.number<std::uint8_t>();
  const auto mark = static_cast<std::uint8_t>(in.below(3));
  switch (in.below(4)) {
    case 0:
      return test::initiation(first, mark);
    case 1:
      return test::response(first, second, mark);
    case 2:
      return test::data(first, mark);
    default:
      return test::cookie_reply(first);
  }
}

void follow(Bytes in) {
  const DeviceIdentity devices[] = {{1, 2}, {1, 3}};
  const trace::TracedDevice traced[] = {{devices[0], 10, PublicKey{}}, {devices[1], 11, {}}};
  trace::Handshakes seen([](const PublicKey&) {
    return [](trace::Bytes signed_part) {
      std::array<std::uint8_t, 16> mac{};
      mac.fill(signed_part.back() == 2 ? 0 : signed_part.back());
      return mac;
    };
  });
  seen.set_devices(traced);
  trace::Handshakes::Clock::time_point now(std::chrono::hours(1));
  std::uint64_t messages = 0;
  while (in.more()) {
    auto payload = to_message(in);
    const auto copies = in.below(3);
    messages += copies + 1;
    const auto one = payload;
    for (std::size_t i = 0; i < copies; ++i) payload.insert(payload.end(), one.begin(), one.end());
    const auto own = test::end_v4(1, static_cast<std::uint16_t>(10 + in.below(3)));
    const auto other = test::end_v4(static_cast<std::uint8_t>(in.below(4)), 99);
    const auto direction = static_cast<Direction>(in.below(3));
    const bool out = direction == Direction::outgoing;
    const auto packet = test::udp_packet(out ? own : other, out ? other : own, payload);
    seen.see({packet, static_cast<std::uint32_t>(in.below(2)), direction, now});
    now += std::chrono::milliseconds(in.number<std::uint8_t>() * 20);
    if (in.flag()) seen.decide(now);
    if (in.rarely()) seen.set_devices(std::span(traced).first(1 + in.below(2)));
  }
  seen.decide(now + std::chrono::hours(1));
  std::uint64_t counted = seen.take_times().size();
  for (const auto& one : seen.counts()) {
    counted += one.invalid_mac + one.cookies_sent + one.cookies_received;
    check(one.macs_checked || one.invalid_mac == 0, "nothing is counted without a check");
  }
  check(counted <= messages, "nothing is counted that did not come");
}

}  // namespace
}  // namespace wgvitals::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  wgvitals::fuzz::parse({data, size});
  wgvitals::fuzz::follow({data, size});
  return 0;
}
