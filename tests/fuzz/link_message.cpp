// RTM_NEWLINK messages built from the fuzzer's bytes, which must give what was put in, but for an
// attribute of a wrong size.

#include <cstddef>

#include "common/kernel/link.h"
#include "tests/fuzz/bytes.h"
#include "tests/fuzz/check.h"
#include "tests/support/netlink_messages.h"

namespace wgvitals::fuzz {
namespace {

using test::MessageBuilder;

// A text may end in NULs or not, or have them inside.
std::string put_text(Bytes& in, MessageBuilder& to, int type) {
  const auto bytes = in.text();
  to.put_bytes(type, bytes.data(), bytes.size());
  return std::string(bytes.substr(0, bytes.find('\0')));
}

// Of any length: the kernel grows the struct at its end.
LinkCounters put_counters(Bytes& in, MessageBuilder& to) {
  rtnl_link_stats64 stats{};
  const auto bytes = in.text();
  to.put_bytes(IFLA_STATS64, bytes.data(), bytes.size());
  std::memcpy(&stats, bytes.data(), std::min(bytes.size(), sizeof stats));
  LinkCounters counters;
  counters.rx_packets = stats.rx_packets;
  counters.tx_packets = stats.tx_packets;
  counters.rx_bytes = stats.rx_bytes;
  counters.tx_bytes = stats.tx_bytes;
  counters.rx_errors = stats.rx_errors;
  counters.tx_errors = stats.tx_errors;
  counters.rx_dropped = stats.rx_dropped;
  counters.tx_dropped = stats.tx_dropped;
  counters.rx_length_errors = stats.rx_length_errors;
  counters.rx_frame_errors = stats.rx_frame_errors;
  return counters;
}

void parse_what_was_built(Bytes& in) {
  Link link;
  bool well = true;
  MessageBuilder builder(RTM_NEWLINK);
  ifinfomsg fixed{};
  fixed.ifi_index = in.number<std::int32_t>();
  fixed.ifi_flags = in.number<std::uint32_t>();
  builder.fixed(fixed);
  link.index = static_cast<std::uint32_t>(fixed.ifi_index);
  link.flags = fixed.ifi_flags;
  for (int room = 200; well && in.more() && room > 0; --room) {
    switch (in.below(5)) {
      case 0:
        link.name = put_text(in, builder, IFLA_IFNAME);
        break;
      case 1: {
        const auto mtu = in.number<std::array<std::uint32_t, 2>>();
        const std::size_t size = in.rarely() ? in.below(9) : sizeof link.mtu;
        well = size == sizeof link.mtu;
        if (well) link.mtu = mtu[0];
        builder.put_bytes(IFLA_MTU, mtu.data(), size);
        break;
      }
      case 2:
        link.counters = put_counters(in, builder);
        break;
      case 3:
        builder.nest(IFLA_LINKINFO, [&](MessageBuilder& info) {
          for (int inside = 4; in.flag() && inside > 0; --inside) {
            if (in.flag()) {
              link.kind = put_text(in, info, IFLA_INFO_KIND);
            } else {
              put_text(in, info, IFLA_INFO_DATA);
            }
          }
        });
        break;
      default:
        put_text(in, builder, static_cast<int>(IFLA_LINKINFO + 100 + in.below(100)));
    }
  }
  const auto message = builder.message();
  const auto parsed = kernel::parse_link(test::header_of(message));
  check(parsed.has_value() == well, "refused is what is damaged");
  if (!well) return;
  check(parsed->name == link.name && parsed->kind == link.kind, "the texts are what was built");
  check(parsed->index == link.index && parsed->flags == link.flags && parsed->mtu == link.mtu,
        "the numbers are what was built");
  check(parsed->counters.has_value() == link.counters.has_value() &&
            (!link.counters ||
             std::memcmp(&*parsed->counters, &*link.counters, sizeof(LinkCounters)) == 0),
        "the counters are what was built");
}

}  // namespace
}  // namespace wgvitals::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  wgvitals::fuzz::Bytes in(data, size);
  wgvitals::fuzz::parse_what_was_built(in);
  return 0;
}
