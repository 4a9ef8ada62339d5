#include "common/collect/refused_watch.h"

#include <gmock/gmock.h>

#include <chrono>
#include <thread>

#include "tests/support/gathering.h"
#include "tests/support/kept_report.h"
#include "tests/support/temp_root.h"

namespace wgvitals::collect {
namespace {

using testing::AnyOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

TEST(RefusedWatch, BeginsWithADeviceOfTheKernelAndSaysWhyItCannot) {
  const test::TempRoot root;  // without types
  test::TestServices services(true, root.root());
  RefusedWatch watch(services.services);
  test::Gathering gathering;
  gathering.add_device("wg0", 1).userspace = true;
  test::KeptReport report;
  watch.read(gathering.devices, report);
  gathering.add_device("wg1", 2);
  EXPECT_THAT(report.texts, IsEmpty());
  for (int i = 0; i < 60'000 && report.texts.empty(); ++i) {
    watch.read(gathering.devices, report);
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  watch.read(gathering.devices, report);  // it stays
  const auto reason = AnyOf(HasSubstr("CONFIG_DEBUG_INFO_BTF"), HasSubstr("built without eBPF"));
  EXPECT_THAT(report.texts, ElementsAre(reason, reason));
  EXPECT_THAT(report.codes, ElementsAre(Errc::io, Errc::io));  // absent would not be said
  for (const auto& device : gathering.devices.devices) EXPECT_FALSE(watch.of(device));
}

constexpr std::uint64_t own_place = 4026531840, other_place = 4026532001;

class RefusedSumsTest : public testing::Test {
 protected:
  SeenDevice& add(const char* name, std::uint64_t place, std::uint32_t index) {
    auto& device = devices.devices.emplace_back();
    device.name = name;
    device.identity = {place, index};
    device.listen_port = 51820;
    return device;
  }
  void take(std::vector<trace::RefusedPackets> counts) {
    gone.clear();
    sums.take(counts, devices, [this](const auto& one) { gone.push_back(one.device.place); });
  }
  std::uint64_t unknown(std::uint64_t place, std::uint32_t index) const {
    return sums.of({place, index}).unknown_index;
  }

  Devices devices;
  RefusedSums sums{own_place};
  std::vector<std::uint64_t> gone;
  const trace::RefusedPackets of_own_port{{own_place, 0}, 51820, 0, 0, 3};
};

TEST_F(RefusedSumsTest, ADeviceHasWhatItRefusedAndWhatCameToItsPort) {
  add("wg0", own_place, 7);
  add("wg0", other_place, 7);
  add("wg1", own_place, 8).listen_port = 1;
  take({{{own_place, 7}, 0, 1, 2, 0}, of_own_port, {{other_place, 0}, 51820, 0, 0, 4}});
  EXPECT_EQ(sums.of({own_place, 7}).auth_failures, 1u);
  EXPECT_EQ(sums.of({own_place, 7}).replays, 2u);
  EXPECT_EQ(unknown(own_place, 7), 3u);
  EXPECT_EQ(unknown(other_place, 7), 4u);
  EXPECT_EQ(unknown(own_place, 8), 0u);
  EXPECT_THAT(gone, IsEmpty());
}

TEST_F(RefusedSumsTest, ADeviceThatWasMovedAwayKeepsItsPortHere) {
  add("moved", other_place, 7);
  add("userspace", own_place, 0).userspace = true;
  take({of_own_port});
  EXPECT_EQ(unknown(other_place, 7), 3u);
  add("another", 4026532002, 9);  // as likely
  take({of_own_port});
  EXPECT_EQ(unknown(other_place, 7), 0u);
  EXPECT_THAT(gone, ElementsAre(own_place));
}

TEST_F(RefusedSumsTest, WhatComesToAnotherDeviceIsCountedAnew) {
  add("wg0", own_place, 7);
  take({of_own_port});
  devices.clear();
  add("wg0", own_place, 9);
  take({of_own_port});
  EXPECT_EQ(unknown(own_place, 9), 0u);
  EXPECT_THAT(gone, ElementsAre(own_place));
  take({{{own_place, 0}, 51820, 0, 0, 1}});
  EXPECT_EQ(unknown(own_place, 9), 1u);
}

TEST_F(RefusedSumsTest, WhatWasNotReadIsNotGone) {
  devices.unread.push_back({own_place, 7});
  take({of_own_port, {{own_place, 7}, 0, 1, 0, 0}});
  EXPECT_THAT(gone, IsEmpty());
  devices.clear();
  take({of_own_port, {{own_place, 7}, 0, 1, 0, 0}});
  EXPECT_THAT(gone, ElementsAre(own_place, own_place));
}

}  // namespace
}  // namespace wgvitals::collect
