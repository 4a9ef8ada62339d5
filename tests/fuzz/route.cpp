// RTM_NEWROUTE messages: of any bytes, and built from the fuzzer's bytes, which must give what was
// put in, but for an attribute of a wrong size.

#include "common/kernel/route.h"

#include <linux/rtnetlink.h>

#include "tests/fuzz/bytes.h"
#include "tests/fuzz/check.h"
#include "tests/fuzz/messages.h"
#include "tests/support/netlink_messages.h"

namespace wgvitals::fuzz {
namespace {

using kernel::Route;
using test::MessageBuilder;

// Of the size that its family has or, rarely, another: then the message is damaged.
bool put_address(Bytes& in, MessageBuilder& to, int type, AddressFamily family, Endpoint& into) {
  const std::size_t right = family == AddressFamily::ipv4 ? 4 : 16;
  const auto size = in.rarely() ? in.below(17) : right;
  const auto bytes = in.number<std::array<std::uint8_t, 16>>();
  to.put_bytes(type, bytes.data(), size);
  into = {};
  into.family = family;
  std::memcpy(into.address.data(), bytes.data(), size);
  return size == right;
}

bool put_via(Bytes& in, MessageBuilder& to, Endpoint& into) {
  struct {
    std::uint16_t family;
    std::array<std::uint8_t, 16> address;
  } via{};
  const bool ipv4 = in.flag();
  via.family = ipv4 ? AF_INET : AF_INET6;
  via.address = in.number<std::array<std::uint8_t, 16>>();
  const std::size_t right = sizeof via.family + (ipv4 ? 4 : 16);
  const auto size = in.rarely() ? in.below(sizeof via + 1) : right;
  to.put_bytes(RTA_VIA, &via, size);
  into = {};
  into.family = ipv4 ? AddressFamily::ipv4 : AddressFamily::ipv6;
  std::memcpy(into.address.data(), via.address.data(), ipv4 ? 4 : 16);
  return size == right;
}

bool put_number(Bytes& in, MessageBuilder& to, int type, std::uint32_t& value) {
  const auto bytes = in.number<std::array<std::uint32_t, 2>>();
  const auto size = in.rarely() ? in.below(9) : sizeof value;
  to.put_bytes(type, bytes.data(), size);
  value = bytes[0];
  return size == sizeof value;
}

bool put_metrics(Bytes& in, MessageBuilder& to, Route& route) {
  bool well = true;
  to.nest(RTA_METRICS, [&](MessageBuilder& metrics) {
    for (int left = 4; well && in.flag() && left > 0; --left) {
      std::uint32_t value = 0;
      switch (in.below(3)) {
        case 0:
          well = put_number(in, metrics, RTAX_MTU, value);
          route.mtu = value;
          break;
        case 1:
          well = put_number(in, metrics, RTAX_LOCK, value);
          route.mtu_locked = (value & (1u << RTAX_MTU)) != 0;
          break;
        default:
          metrics.put(RTAX_HOPLIMIT, value);
      }
    }
  });
  return well;
}

void parse_what_was_built(Bytes& in) {
  Route route;
  bool well = true;
  MessageBuilder builder(RTM_NEWROUTE, 0);
  rtmsg fixed{};
  const bool ipv4 = in.flag();
  const auto family = ipv4 ? AddressFamily::ipv4 : AddressFamily::ipv6;
  fixed.rtm_family = ipv4 ? AF_INET : AF_INET6;
  builder.fixed(fixed);
  for (int room = 100; well && in.more() && room > 0; --room) {
    switch (in.below(6)) {
      case 0:
        well = put_number(in, builder, RTA_OIF, route.link);
        break;
      case 1:
        well = put_address(in, builder, RTA_GATEWAY, family, route.gateway);
        break;
      case 2:
        well = put_address(in, builder, RTA_PREFSRC, family, route.source);
        break;
      case 3:
        well = put_via(in, builder, route.gateway);
        break;
      case 4:
        well = put_metrics(in, builder, route);
        break;
      default: {
        const auto text = in.text();
        builder.put_bytes(static_cast<int>(RTA_EXPIRES + 1 + in.below(50)), text.data(),
                          text.size());
      }
    }
  }
  const auto message = builder.message();
  const auto parsed = kernel::parse_route(test::header_of(message));
  check(parsed.has_value() == well, "refused is what is damaged");
  check(!well || *parsed == route, "the route is what was built");
}

}  // namespace
}  // namespace wgvitals::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  wgvitals::fuzz::for_each_message(
      data, size, [](const nlmsghdr& message) { (void)wgvitals::kernel::parse_route(message); });
  wgvitals::fuzz::Bytes in(data, size);
  wgvitals::fuzz::parse_what_was_built(in);
  return 0;
}
