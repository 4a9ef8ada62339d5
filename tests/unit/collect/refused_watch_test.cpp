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

}  // namespace
}  // namespace wgvitals::collect
