#include "common/trace/refusals.h"

#include <gtest/gtest.h>

#include <array>
#include <set>

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

Endpoint made_up(std::uint32_t number) {
  auto source = end_v6(2, 0);
  for (std::size_t byte = 0; byte < 4; ++byte) {
    source.address[8 + byte] = static_cast<std::uint8_t>(number >> (8 * byte));
  }
  return source;
}

TEST(Refusals, TellsAllWhileThereIsRoom) {
  Refusals refusals;
  for (std::uint32_t i = 1; i < Refusals::most_sources; ++i) refusals.add(wg0, made_up(i));
  EXPECT_EQ(refusals.sources().size(), Refusals::most_sources - 1);
}

TEST(Refusals, OfMadeUpAddressesLeaveTheBusyOnes) {
  Refusals refusals;
  constexpr std::uint32_t begun_later = 5000;
  std::uint64_t first = 0, second = 0;
  for (std::uint32_t i = 0; i < 10'000; ++i) {
    refusals.add(wg0, made_up(i));
    if (i % 50 == 0) refusals.add(wg0, end_v4(1, 0));
    if (i > begun_later && i % 50 == 1) refusals.add(wg0, end_v4(2, 0));
    if (i < Refusals::most_sources) continue;
    const auto told = refusals.sources();
    ASSERT_LE(told.size(), 2u) << i;  // none that is made up
    const auto counts = {count_of(refusals, wg0, end_v4(1, 0)),
                         count_of(refusals, wg0, end_v4(2, 0))};
    ASSERT_GE(*counts.begin(), first);  // never less than before
    ASSERT_GE(*(counts.end() - 1), second);
    first = *counts.begin();
    second = *(counts.end() - 1);
  }
  EXPECT_EQ(first, 200u);
  EXPECT_EQ(second, 100u);
}

// Each comes several times, and none again.
TEST(Refusals, TellsFewAddressesThatAreMadeUpInTurn) {
  Refusals refusals;
  std::set<std::array<std::uint8_t, 16>> told;
  for (std::uint32_t i = 0; i < 10'000; ++i) {
    for (int again = 0; again < 3; ++again) refusals.add(wg0, made_up(i));
    for (const auto& one : refusals.sources()) told.insert(one.source.address);
  }
  EXPECT_LE(told.size(), Refusals::most_sources);
}

}  // namespace
}  // namespace wgvitals::trace
