// The collector that README.md shows, as CMake cuts it out of there.

#include <gtest/gtest.h>

#include "common/collect/collector.h"
#include "tests/support/said.h"
#include "tests/support/services.h"
#include "tests/support/temp_root.h"

namespace wgvitals::collect {

extern const Entry host_load;

namespace {

class NoFailure final : public Report {
 public:
  void failed(const Error& error) override { ADD_FAILURE() << to_text(error); }
  void retried() override {}
};

TEST(ReadmeExample, IsACollector) {
  test::TempRoot files;
  files.with("proc/loadavg", "0.25 0.10 0.05 1/100 4711\n");
  test::TestServices services;
  services.root = files.root();
  const auto collector = host_load.make(services.services, config::Settings({}));
  Devices devices;
  NoFailure report;
  collector->read(devices, report);
  test::Said said;
  collector->emit(Now{}, devices, Peers(), said);
  EXPECT_EQ(said.text(), "wireguard_load load1=0.25\n");
}

}  // namespace
}  // namespace wgvitals::collect
