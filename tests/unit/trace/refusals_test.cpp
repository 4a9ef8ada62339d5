#include "common/trace/refusals.h"

#include <gtest/gtest.h>

#include "tests/support/handshake_packets.h"

namespace wgvitals::trace {
namespace {

using test::end_v4;
using test::end_v6;

const DeviceIdentity wg0{1, 2}, wg1{1, 3};

std::uint64_t count_of(const Refusals& refusals, const DeviceIdentity& device, Endpoint source) {
  source.port = 0;
  for (const auto& one : refusals.sources()) {
    if (one.device == device && one.source == source) return one.count;
  }
  return 0;
}

TEST(Refusals, AreCountedByDeviceAndAddressWhateverThePort) {
  Refusals refusals;
  refusals.add(wg0, end_v4(1, 5));
  refusals.add(wg0, end_v4(1, 6));
  refusals.add(wg1, end_v4(1, 5));
  refusals.add(wg0, end_v6(1, 5));
  EXPECT_EQ(count_of(refusals, wg0, end_v4(1, 0)), 2u);
  EXPECT_EQ(count_of(refusals, wg1, end_v4(1, 0)), 1u);
  EXPECT_EQ(count_of(refusals, wg0, end_v6(1, 0)), 1u);
  refusals.forget_if([](const DeviceIdentity& device) { return device == wg0; });
  EXPECT_EQ(refusals.sources().size(), 1u);
}

TEST(Refusals, OfMadeUpAddressesLeaveTheBusyOnes) {
  Refusals refusals;
  for (int i = 0; i < 5; ++i) refusals.add(wg0, end_v4(1, 0));
  for (std::uint32_t i = 0; i < 10'000; ++i) {
    auto source = end_v6(2, 0);
    for (std::size_t byte = 0; byte < 4; ++byte) {
      source.address[8 + byte] = static_cast<std::uint8_t>(i >> (8 * byte));
    }
    refusals.add(wg0, source);
  }
  EXPECT_EQ(refusals.sources().size(), Refusals::most_sources);
  EXPECT_EQ(count_of(refusals, wg0, end_v4(1, 0)), 5u);
}

}  // namespace
}  // namespace wgvitals::trace
