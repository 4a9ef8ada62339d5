#include "common/output/identity.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/things.h"

namespace wgvitals::output {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(Identity, TakesTheLabelsApart) {
  const Label labels[] = {{&test::site_label, "berlin"},
                          {&friendly_name_label, "laptop"},
                          {&public_key_label, "KEY"},
                          {&netns_label, "blue"},
                          {&device_label, "wg0"}};
  const auto identity = to_identity({test::things, labels, {}}, false);
  EXPECT_EQ(identity.device, "wg0");
  EXPECT_EQ(identity.netns, "blue");
  EXPECT_EQ(identity.friendly_name, "laptop");
  EXPECT_EQ(identity.public_key, "KEY");
  EXPECT_THAT(identity.others, ElementsAre("berlin"));
  EXPECT_EQ(identity.place(), "wg0@blue");
  EXPECT_EQ(identity.safe_peer(), "laptop");
}

TEST(Identity, HasWhatIdentifiesNothingOnlyWhereAllIsAskedFor) {
  const Label labels[] = {{&test::type_label, "userspace"}};
  const Record record{test::things, labels, {}};
  EXPECT_THAT(to_identity(record, false).others, IsEmpty());
  EXPECT_THAT(to_identity(record, true).others, ElementsAre("userspace"));
}

TEST(Identity, LeavesOutEmptyLabels) {
  const Label labels[] = {{&test::site_label, ""}, {&device_label, ""}};
  const auto identity = to_identity({test::things, labels, {}}, true);
  EXPECT_THAT(identity.others, IsEmpty());
  EXPECT_EQ(identity.place(), "");
  EXPECT_EQ(identity.safe_peer(), "");
}

TEST(Identity, OfWireguardDeviceIsItsName) {
  constexpr const LabelName* labels[] = {&device_name_label};
  const Family family{"wireguard_device", "x", {}, labels, {}};
  const Label values[] = {{&device_name_label, "wg0"}};
  EXPECT_EQ(to_identity({family, values, {}}, false).place(), "wg0");
}

}  // namespace
}  // namespace wgvitals::output
