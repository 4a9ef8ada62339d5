#include "common/output/graphite.h"

#include <gtest/gtest.h>

#include <set>

#include "tests/support/things.h"

namespace wgvitals::output {
namespace {

using test::things;
constexpr auto key = "+TIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp/Dg=";

std::string written(std::span<const Label> labels, std::span<const Reading> readings,
                    std::string_view prefix = "wireguard", std::string_view host = "gate") {
  std::string text;
  Graphite sink(text, prefix, host);
  sink.begin(test::leap_day());
  sink.take(Record{things, labels, readings});
  return text;
}

// The path of one reading.
std::string path(std::span<const Label> labels) {
  const Reading readings[] = {{&test::whole, 1}};
  const auto text = written(labels, readings);
  const std::string rest = ".whole 1 1709208000\n";
  EXPECT_TRUE(text.ends_with(rest)) << text;
  return text.substr(0, text.size() - rest.size());
}

TEST(GraphitePart, HasNothingThatPathsOrQueriesKnow) {
  const struct {
    std::string_view text, part;
  } cases[] = {
      {"wg0", "wg0"},
      {"wg0@blue", "wg0@blue"},
      {"a-b_c~d", "a-b_c~d"},
      {"10.0.0.1", "10_0_0_1"},
      {"my laptop", "my_laptop"},
      {"a\tb\nc\x01\x7f", "a_b_c__"},
      {"{a,b}[c]*?", "_a_b__c___"},
      {"a/b\\c:d;e=f\"g'h", "a_b_c_d_e_f_g_h"},
      {"caf\xc3\xa9", "caf\xc3\xa9"},
      {"", ""},
  };
  for (const auto& test : cases) EXPECT_EQ(to_graphite_part(test.text), test.part);
}

TEST(Graphite, IsALineForEachNumber) {
  const Label labels[] = {{&device_label, "wg0"}};
  const Reading readings[] = {{&test::whole, -1},
                              {&test::total, std::uint64_t{UINT64_MAX}},
                              {&test::real, 0.5},
                              {&test::flag, true},
                              {&test::words, "up"}};
  EXPECT_EQ(written(labels, readings),
            "wireguard.gate.wireguard_thing.wg0.whole -1 1709208000\n"
            "wireguard.gate.wireguard_thing.wg0.total 18446744073709551615 1709208000\n"
            "wireguard.gate.wireguard_thing.wg0.real 0.5 1709208000\n"
            "wireguard.gate.wireguard_thing.wg0.flag 1 1709208000\n");
}

TEST(Graphite, LeavesOutWhatIsNoNumber) {
  const Reading readings[] = {{&test::real, test::not_a_number}, {&test::other, test::infinite}};
  EXPECT_EQ(written({}, readings), "");
}

TEST(Graphite, HasTheNamespaceInTheDevice) {
  const Label both[] = {{&device_label, "wg0"}, {&netns_label, "blue"}};
  EXPECT_EQ(path(both), "wireguard.gate.wireguard_thing.wg0@blue");
  const Label alone[] = {{&netns_label, "blue"}};
  EXPECT_EQ(path(alone), "wireguard.gate.wireguard_thing.@blue");
  EXPECT_EQ(path({}), "wireguard.gate.wireguard_thing");
}

TEST(Graphite, KeepsDevicesApartThatAreEscapedAlike) {
  std::set<std::string> paths;
  for (const auto* name : {"a.b", "a_b", "a b", "a:b"}) {
    const Label labels[] = {{&device_label, name}};
    paths.insert(path(labels));
    EXPECT_TRUE(path(labels).starts_with("wireguard.gate.wireguard_thing.a_b")) << path(labels);
    EXPECT_EQ(path(labels), path(labels));
  }
  EXPECT_EQ(paths.size(), 4u);
  EXPECT_TRUE(paths.contains("wireguard.gate.wireguard_thing.a_b"));
}

TEST(Graphite, NamesAPeerByItsNameElseByItsSafeKey) {
  const Label nameless[] = {{&device_label, "wg0"}, {&public_key_label, key}};
  EXPECT_EQ(path(nameless),
            "wireguard.gate.wireguard_thing.wg0."
            "-TIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp_Dg");
  const Label named[] = {
      {&device_label, "wg0"}, {&public_key_label, key}, {&friendly_name_label, "my.laptop"}};
  EXPECT_EQ(path(named), "wireguard.gate.wireguard_thing.wg0.my_laptop");
}

TEST(Graphite, HasTheOtherLabelsOfTheFamilyInItsOrder) {
  const Label labels[] = {
      {&test::type_label, "linux_kernel"}, {&test::site_label, "a.b"}, {&device_label, "wg0"}};
  EXPECT_EQ(path(labels), "wireguard.gate.wireguard_thing.wg0.a_b.linux_kernel");
}

TEST(Graphite, LeavesOutLabelsFromConfiguration) {
  constexpr LabelName tenant{"tenant"};
  const Label labels[] = {{&device_label, "wg0"}, {&tenant, "x"}};
  EXPECT_EQ(path(labels), "wireguard.gate.wireguard_thing.wg0");
}

TEST(Graphite, KeepsThePrefixAndEscapesTheHost) {
  const Reading readings[] = {{&test::whole, 1}};
  EXPECT_EQ(written({}, readings, "vpn.eu", "gate.example.org"),
            "vpn.eu.gate_example_org.wireguard_thing.whole 1 1709208000\n");
  EXPECT_EQ(written({}, readings, "", "gate"), "gate.wireguard_thing.whole 1 1709208000\n");
}

TEST(Graphite, TellsTheSeverityOfEvents) {
  std::string text;
  Graphite sink(text, "wireguard", "gate");
  sink.begin(test::leap_day());
  const Label labels[] = {{&device_label, "wg0"}};
  sink.take(Event{"link", Severity::failure, labels, "up", "down", "x"});
  EXPECT_EQ(text, "wireguard.gate.wireguard_event.wg0.link.severity 1 1709208000\n");
}

}  // namespace
}  // namespace wgvitals::output
