#include <gmock/gmock.h>

#include "tests/support/gathering.h"
#include "tests/support/kept_report.h"
#include "tests/support/said.h"

namespace wgvitals::collect {
extern const Entry trace;

namespace {

using testing::IsEmpty;

TEST(Trace, IsOffUnlessAskedFor) {
  EXPECT_FALSE(test::settings("").truth(trace.enabled));
  EXPECT_TRUE(test::settings("trace = true").truth(trace.enabled));
}

TEST(Trace, HasNothingToSeeInAMoment) {
  test::TestServices services(false);
  EXPECT_EQ(trace.make(services.services, test::settings("trace = true")), nullptr);
}

TEST(Trace, OpensNoTapWithoutAPort) {
  test::TestServices services;
  const auto collector = trace.make(services.services, test::settings("trace = true"));
  ASSERT_NE(collector, nullptr);
  test::Gathering gathering;
  gathering.add_device("wg0", 1);
  test::KeptReport report;
  test::Said said;
  collector->read(gathering.devices, report);
  collector->advance(gathering.now, gathering.devices, gathering.peers, gathering.events);
  collector->emit(gathering.now, gathering.devices, gathering.peers, said);
  EXPECT_EQ(said.text(), "");
  EXPECT_THAT(report.texts, IsEmpty());
}

}  // namespace
}  // namespace wgvitals::collect
