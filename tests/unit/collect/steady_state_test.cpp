// What a gather costs in memory when nothing but the numbers changes.

#include <gtest/gtest.h>

#include <algorithm>

#include "common/kernel/wireguard_netlink.h"
#include "common/output/line_protocol.h"
#include "tests/support/allocations.h"
#include "tests/support/gathering.h"
#include "tests/support/kept_report.h"
#include "tests/support/keys.h"
#include "tests/support/recorded_datagram.h"

namespace wgvitals::collect {
namespace {

constexpr std::uint32_t peers_a_message = 100;

// The kernel's answer for a device of so many peers, in its n-th reading.
test::Answer device_dump(std::uint32_t peers, std::uint32_t reading) {
  std::vector<test::Message> messages;
  for (std::uint32_t first = 0; first < peers; first += peers_a_message) {
    std::vector<test::KernelPeer> part;
    for (auto number = first; number < std::min(first + peers_a_message, peers); ++number) {
      part.push_back({.key = test::key(number),
                      .endpoint = "192.0.2.1",
                      .port = 51820,
                      .handshake_s = 1795210000 + reading,
                      .rx_bytes = 1'000'000 + reading,
                      .tx_bytes = 2'000'000 + reading,
                      .allowed_ips = {{"10.0.0.0", 24}, {"2001:db8::", 64}}});
    }
    messages.push_back(first == 0 ? test::device_message(31, {7, "wg0"}, part)
                                  : test::more_peers(31, part));
  }
  return test::dump(messages);
}

struct Cost {
  std::size_t first, third;  // allocations
};

Cost gather_thrice(std::uint32_t peers) {
  constexpr std::uint32_t readings = 3;
  test::RecordedKernel kernel;
  for (std::uint32_t reading = 0; reading < readings; ++reading) {
    kernel.on("links wireguard", test::dump({test::link_message(test::named_link("wg0"))}));
    if (reading == 0) kernel.on("family wireguard", test::one(test::family_message(31)));
    kernel.on("device 7 of 31", device_dump(peers, reading));
  }
  kernel::KernelWireGuard reader(kernel.opener(), "", 4026);
  test::Gathering gathering;
  test::KeptReport report;
  std::string text;
  output::LineProtocol lines(text, output::Unsigned::kept);
  std::size_t costs[readings];
  for (auto& cost : costs) {
    text.clear();
    gathering.pass(std::chrono::seconds(1));
    const auto before = test::allocations();
    gathering.devices.clear();
    reader.read({}, gathering.devices, report);
    gathering.gather(lines);
    cost = test::allocations() - before;
    // Two lines of the device, two of each peer.
    EXPECT_EQ(static_cast<std::uint32_t>(std::count(text.begin(), text.end(), '\n')),
              2 + 2 * peers);
  }
  EXPECT_EQ(gathering.peers.row(peers - 1).handshakes, readings - 1);
  EXPECT_TRUE(report.texts.empty());
  return {costs[0], costs[2]};
}

TEST(SteadyState, AllocatesNothingForEachPeer) {
  const auto few = gather_thrice(100);
  const auto many = gather_thrice(10'000);
  EXPECT_EQ(many.third, few.third);
  EXPECT_GT(many.first, many.third);  // the count does count
}

}  // namespace
}  // namespace wgvitals::collect
