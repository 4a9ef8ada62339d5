#include "plugins/collectd/config.h"

#include <gtest/gtest.h>

#include "tests/support/oconfig.h"

namespace wgvitals::collectd {
namespace {

TEST(AddBlock, TakesOptionsWithTheirValuesInTheirOrder) {
  test::Block block;
  block.add("GatherWait", {2.5})
      .add("Interface", {"wg0", "wg1"})
      .add("IgnoreSelected", {true})
      .add("Interface", {"wg2"})
      .add("Nothing", {});
  config::Section section{"<Plugin wireguard>", {}};
  add_block(block.item(), section);
  ASSERT_EQ(section.items.size(), 5u);
  EXPECT_EQ(section.items[0].name, "GatherWait");
  EXPECT_EQ(section.items[0].values, (std::vector<config::Value>{2.5}));
  EXPECT_EQ(section.items[1].values,
            (std::vector<config::Value>{std::string("wg0"), std::string("wg1")}));
  EXPECT_EQ(section.items[2].values, (std::vector<config::Value>{true}));
  EXPECT_EQ(section.items[3].name, "Interface");
  EXPECT_TRUE(section.items[4].values.empty());
}

TEST(AddBlock, AddsToWhatIsThere) {
  test::Block one;
  one.add("A", {1.0});
  test::Block two;
  two.add("B", {false});
  config::Section section{"<Plugin wireguard>", {}};
  add_block(one.item(), section);
  add_block(two.item(), section);
  ASSERT_EQ(section.items.size(), 2u);
  EXPECT_EQ(section.items[1].name, "B");
  EXPECT_EQ(section.items[1].values, (std::vector<config::Value>{false}));
}

}  // namespace
}  // namespace wgvitals::collectd
