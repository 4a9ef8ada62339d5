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
      .add("Interface", {"wg2"});
  config::Section section{"<Plugin wireguard>", {}};
  add_block(block.item(), section);
  ASSERT_EQ(section.items.size(), 4u);
  EXPECT_EQ(section.items[0].name, "GatherWait");
  EXPECT_EQ(section.items[0].values, (std::vector<config::Value>{2.5}));
  EXPECT_EQ(section.items[1].values,
            (std::vector<config::Value>{std::string("wg0"), std::string("wg1")}));
  EXPECT_EQ(section.items[2].values, (std::vector<config::Value>{true}));
  EXPECT_EQ(section.items[3].name, "Interface");
  EXPECT_TRUE(section.blocks.empty());
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

TEST(AddBlock, TakesBlocksWithTheirTitles) {
  test::Block ping, probe, deeper, block;
  ping.add("Host", {"a", "b"}).add("TTL", {5.0});
  deeper.add("B", {1.0});
  probe.add("Deeper", {"x"}, deeper).add("Empty", {}).add("A", {true});
  block.add("Ping", {false})
      .add("Ping", {}, ping)
      .add("Probe", {"name", "more"}, probe)
      .add("Probe", {5.0}, deeper)
      .add("Empty", {});
  config::Section section{"<Plugin wireguard>", {}};
  add_block(block.item(), section);
  ASSERT_EQ(section.items.size(), 1u);
  EXPECT_EQ(section.items[0].values, (std::vector<config::Value>{false}));
  ASSERT_EQ(section.blocks.size(), 4u);
  EXPECT_EQ(section.blocks[0].name, "Ping");
  EXPECT_EQ(section.blocks[0].title, "");
  ASSERT_EQ(section.blocks[0].items.size(), 2u);
  EXPECT_EQ(section.blocks[0].items[0].name, "Host");
  EXPECT_EQ(section.blocks[0].items[0].values,
            (std::vector<config::Value>{std::string("a"), std::string("b")}));
  EXPECT_EQ(section.blocks[0].items[1].values, (std::vector<config::Value>{5.0}));
  EXPECT_EQ(section.blocks[1].title, "name");
  ASSERT_EQ(section.blocks[1].items.size(), 3u);
  EXPECT_EQ(section.blocks[1].items[0].name, "<Deeper>");
  EXPECT_TRUE(section.blocks[1].items[0].values.empty());
  EXPECT_EQ(section.blocks[1].items[1].name, "<Empty>");
  EXPECT_EQ(section.blocks[1].items[2].name, "A");
  EXPECT_EQ(section.blocks[2].title, "5");
  EXPECT_EQ(section.blocks[3].name, "Empty");
  EXPECT_TRUE(section.blocks[3].items.empty());
}

}  // namespace
}  // namespace wgvitals::collectd
