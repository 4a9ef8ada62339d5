// ctnetlink's messages and those of our own addresses: of any bytes; and counters built from the
// fuzzer's bytes, which must give what was put in, but for one of a wrong size; those of types that
// are not known are passed over, whatever they hold.

#include "common/kernel/conntrack.h"

#include <arpa/inet.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>

#include "common/kernel/conntrack_flows.h"
#include "tests/fuzz/bytes.h"
#include "tests/fuzz/check.h"
#include "tests/fuzz/messages.h"
#include "tests/support/conntrack_messages.h"

namespace wgvitals::fuzz {
namespace {

using test::MessageBuilder;

void counters_are_what_was_built(Bytes& in) {
  kernel::ConntrackCpu told;
  MessageBuilder builder(NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_GET_STATS_CPU);
  const auto cpu = in.number<std::uint16_t>();
  builder.fixed(nfgenmsg{0, 0, htons(cpu)});
  bool well = true;
  for (int left = 40; well && in.more() && left > 0; --left) {
    const auto value = in.number<std::uint32_t>();
    const auto type = static_cast<int>(in.below(20));
    const std::size_t size = in.rarely() ? in.below(4) : 4;
    const auto network = htonl(value);
    builder.put_bytes(type, &network, size);
    well = size == 4 || type < CTA_STATS_SEARCHED || type > CTA_STATS_CHAIN_TOOLONG;
    if (type == CTA_STATS_FOUND) told.found = value;
    if (type == CTA_STATS_DROP) told.drop = value;
    if (type == CTA_STATS_CHAIN_TOOLONG) told.chain_toolong = value;
  }
  const auto message = builder.message();
  kernel::ConntrackCpu parsed;
  check(kernel::parse_conntrack_cpu(test::header_of(message), parsed).has_value() == well,
        "refused is what is damaged");
  if (!well) return;
  check(parsed.number == cpu && parsed.found == told.found && parsed.drop == told.drop &&
            parsed.chain_toolong == told.chain_toolong,
        "the counters are what was built");
}

void flow_is_what_was_built(Bytes& in) {
  const bool ipv4 = in.flag();
  const auto address = [&] {
    const auto end = std::to_string(in.number<std::uint8_t>());
    return (ipv4 ? "192.0.2." : "2001:db8::") + end;
  };
  test::KernelFlow flow;
  flow.begun_by = address();
  flow.answered_by = address();
  flow.begun_port = in.number<std::uint16_t>();
  flow.answered_port = in.number<std::uint16_t>();
  flow.status = in.number<std::uint32_t>();
  if (in.flag()) flow.timeout_s = in.number<std::uint32_t>();
  const auto message = test::flow_message(flow);
  const auto parsed = kernel::parse_conntrack_flow(test::header_of(message));
  check(parsed.has_value(), "a whole flow is taken");
  check(parsed->begun_by.address == test::to_address(flow.begun_by).second &&
            parsed->answered_by.address == test::to_address(flow.answered_by).second,
        "the addresses are what was built");
  check(parsed->begun_by.port == flow.begun_port &&
            parsed->answered_by.port == flow.answered_port && parsed->status == flow.status &&
            parsed->timeout_s == flow.timeout_s,
        "the numbers are what was built");
}

}  // namespace
}  // namespace wgvitals::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace wgvitals;
  fuzz::for_each_message(data, size, [](const nlmsghdr& message) {
    kernel::ConntrackCpu cpu;
    (void)kernel::parse_conntrack_cpu(message, cpu);
    (void)kernel::parse_expectations(message, cpu);
    (void)kernel::parse_conntrack_table(message);
    (void)kernel::parse_conntrack_flow(message);
    (void)kernel::parse_own_address(message);
  });
  fuzz::Bytes counters(data, size), flow(data, size);
  fuzz::counters_are_what_was_built(counters);
  fuzz::flow_is_what_was_built(flow);
  return 0;
}
