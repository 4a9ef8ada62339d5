// The options of the product, each against the rules for all.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <set>
#include <sstream>

#include "common/collect/engine.h"
#include "common/config/option.h"

namespace wgvitals::config {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

// The options at the top, then those of each kind of block.
std::vector<Schema> all_schemas() {
  const auto schema = collect::schema();
  std::vector<Schema> schemas{{schema.options}};
  for (const auto* kind : schema.blocks) {
    schemas.push_back({{kind->options.begin(), kind->options.end()}});
  }
  return schemas;
}

std::vector<const Option*> all_options() {
  std::vector<const Option*> options;
  for (const auto& schema : all_schemas()) {
    options.insert(options.end(), schema.options.begin(), schema.options.end());
  }
  return options;
}

void expect_fallbacks_to_be_taken(const Schema& schema) {
  const Settings fallbacks(schema);
  for (const auto* option : schema.options) {
    const std::string line =
        std::string(option->name.view()) + " = " + to_toml_fallback(*option) + "\n";
    std::vector<Problem> problems;
    const auto section = parse_toml(line, "x.toml", schema, problems);
    ASSERT_TRUE(section.has_value()) << line;
    Settings settings(schema);
    settings.read(*section, problems);
    EXPECT_TRUE(problems.empty()) << line << problems.front().text;
    switch (option->takes) {
      case Takes::truth:
        EXPECT_EQ(settings.truth(*option), fallbacks.truth(*option)) << line;
        break;
      case Takes::whole:
        EXPECT_EQ(settings.whole(*option), fallbacks.whole(*option)) << line;
        break;
      case Takes::duration:
        EXPECT_EQ(settings.duration(*option), fallbacks.duration(*option)) << line;
        break;
      case Takes::text:
      case Takes::choice:
        EXPECT_EQ(settings.text(*option), fallbacks.text(*option)) << line;
        break;
      case Takes::texts:
      case Takes::patterns:
        EXPECT_EQ(settings.texts(*option), fallbacks.texts(*option)) << line;
        break;
      case Takes::pairs:
      case Takes::triples:
        EXPECT_EQ(settings.rows(*option), fallbacks.rows(*option)) << line;
        break;
    }
  }
}

TEST(Schema, HasFallbacksThatItsOwnRulesTake) {
  for (const auto& schema : all_schemas()) expect_fallbacks_to_be_taken(schema);
}

// As collectd tells names apart: in any case.
std::string folded(std::string_view name) {
  auto camel = collectd_name(name);
  std::ranges::transform(camel, camel.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return camel;
}

std::vector<std::string> names_of(const Option& option) {
  std::istringstream list(std::string(option.name.view()) + " " + std::string(option.aliases));
  return {std::istream_iterator<std::string>(list), {}};
}

TEST(Schema, HasNoNameTwice) {
  for (const auto& schema : all_schemas()) {
    std::set<std::string> taken;
    for (const auto* option : schema.options) {
      for (const auto& name : names_of(*option)) {
        EXPECT_TRUE(Name::checked(name)) << name;
        EXPECT_TRUE(taken.insert(folded(name)).second) << name;
      }
    }
  }
}

// In TOML an option that takes rows is a table, as a block is.
TEST(Schema, HasNoBlockNamedAsAnotherOrAsATable) {
  const auto schema = collect::schema();
  std::set<std::string> taken;
  for (const auto* option : schema.options) {
    if (option->takes != Takes::pairs && option->takes != Takes::triples) continue;
    for (const auto& name : names_of(*option)) taken.insert(folded(name));
  }
  EXPECT_FALSE(taken.empty());
  for (const auto* kind : schema.blocks) {
    EXPECT_TRUE(taken.insert(folded(kind->name.view())).second) << kind->name.view();
    EXPECT_EQ(find_block(schema, kind->name.view()), kind);
    EXPECT_GE(kind->help.size(), 10u) << kind->name.view();
    EXPECT_FALSE(kind->options.empty()) << kind->name.view();
  }
}

TEST(Schema, HasAHelpAndAnExpectationForEachOption) {
  for (const auto* option : all_options()) {
    EXPECT_GE(option->help.size(), 10u) << option->name.view();
    EXPECT_EQ(option->help.find('\n'), std::string_view::npos) << option->name.view();
    EXPECT_THAT(expectation(*option), testing::Not(IsEmpty())) << option->name.view();
  }
}

TEST(Schema, HasARangeForEachNumberAndTime) {
  for (const auto* option : all_options()) {
    if (option->takes != Takes::whole && option->takes != Takes::duration) continue;
    EXPECT_LT(option->least, option->most) << option->name.view();
  }
}

TEST(Schema, HasChoicesForEachChoice) {
  for (const auto* option : all_options()) {
    EXPECT_EQ(option->takes == Takes::choice, !option->choices.empty()) << option->name.view();
  }
}

TEST(Schema, HasTheOptionsThatArePromised) {
  const std::map<std::string, std::string> promised = {
      {"gather_wait", "\"1s\""},
      {"sample_interval", "\"5s\""},
      {"interface_include", "[]"},
      {"interface_exclude", "[]"},
      {"peer_include", "[]"},
      {"peer_exclude", "[]"},
      {"netns", "[]"},
      {"handshake_never", "\"omit\""},
      {"allowed_ips_field_max", "64"},
      {"peers_shown", "\"all\""},
      {"uapi_dir", "\"/var/run/wireguard\""},
      {"uapi_timeout", "\"1s\""},
      {"names", "{}"},
      {"labels", "{}"},
      {"peer_instance", "\"name\""},
      {"wireguard", "true"},
  };
  std::map<std::string, std::string> said;
  for (const auto* option : collect::schema().options) {
    said.emplace(option->name.view(), to_toml_fallback(*option));
  }
  for (const auto& [name, fallback] : promised) EXPECT_EQ(said[name], fallback) << name;
  EXPECT_TRUE(said.contains("names_files"));
}

// Both hosts' forms of the same configuration are the same settings.
TEST(Schema, ReadsBothHostsAlike) {
  constexpr auto key = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=";
  std::vector<Problem> problems;
  const auto toml = parse_toml(
      "[[inputs.wgvitals]]\n"
      "gather_wait = \"2s\"\n"
      "devices = [\"wg0\", \"/^x/\"]\n"
      "allowed_ips_field_max = 7\n"
      "ignore_selected = true\n"
      "[inputs.wgvitals.names]\n"
      "\"xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=\" = \"laptop\"\n"
      "[inputs.wgvitals.labels.\"xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=\"]\n"
      "site = \"berlin\"\n"
      "[[inputs.wgvitals.ping]]\n"
      "hosts = [\"a\", \"b\"]\n"
      "timeout = \"500ms\"\n"
      "labels.site = \"rome\"\n"
      "[[inputs.wgvitals.ping]]\n",
      "x.toml", collect::schema(), problems);
  const auto collectd = parse_collectd(
      "<Plugin wireguard>\n"
      "  GatherWait 2\n"
      "  InterfaceInclude \"wg0\"\n"
      "  InterfaceInclude \"/^x/\"\n"
      "  AllowedIpsFieldMax 7\n"
      "  IgnoreSelected true\n"
      "  Name \"xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=\" \"laptop\"\n"
      "  Label \"xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=\" \"site\" \"berlin\"\n"
      "  <Ping>\n"
      "    Host \"a\"\n"
      "    Host \"b\"\n"
      "    Timeout 0.5\n"
      "    Label \"site\" \"rome\"\n"
      "  </Ping>\n"
      "  <Ping>\n"
      "  </Ping>\n"
      "</Plugin>\n",
      "collectd.conf");
  ASSERT_TRUE(toml.has_value());
  ASSERT_TRUE(collectd.has_value());
  const auto schema = collect::schema();
  const auto named = [](const auto& options, std::string_view name) -> const Option& {
    return **std::ranges::find_if(options, [&](auto* o) { return o->name.view() == name; });
  };
  const auto& options = schema.options;
  const auto* ping = find_block(schema, "ping");
  ASSERT_NE(ping, nullptr);
  for (const auto* section : {&*toml, &*collectd}) {
    Settings settings(schema);
    settings.read(*section, problems);
    EXPECT_TRUE(problems.empty()) << problems.front().text;
    EXPECT_EQ(settings.duration(named(options, "gather_wait")), std::chrono::milliseconds(2000));
    EXPECT_THAT(settings.texts(named(options, "interface_include")), ElementsAre("wg0", "/^x/"));
    EXPECT_EQ(settings.whole(named(options, "allowed_ips_field_max")), 7);
    EXPECT_TRUE(settings.truth(named(options, "ignore_selected")));
    EXPECT_THAT(settings.rows(named(options, "names")), ElementsAre(ElementsAre(key, "laptop")));
    EXPECT_THAT(settings.rows(named(options, "labels")),
                ElementsAre(ElementsAre(key, "site", "berlin")));
    const auto pings = settings.blocks(*ping);
    ASSERT_EQ(pings.size(), 2u);
    const auto& timeout = named(ping->options, "timeout");
    EXPECT_THAT(pings[0]->texts(named(ping->options, "host")), ElementsAre("a", "b"));
    EXPECT_EQ(pings[0]->duration(timeout), std::chrono::milliseconds(500));
    EXPECT_THAT(pings[0]->rows(named(ping->options, "labels")),
                ElementsAre(ElementsAre("site", "rome")));
    EXPECT_EQ(pings[1]->duration(timeout), std::chrono::milliseconds(900));
  }
}

}  // namespace
}  // namespace wgvitals::config
