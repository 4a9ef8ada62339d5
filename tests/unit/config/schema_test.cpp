// The options of the product, each against the rules for all.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <sstream>

#include "common/collect/engine.h"
#include "common/config/option.h"

namespace wgvitals::config {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(Schema, HasAFallbackThatItsOwnRulesTake) {
  const auto options = collect::all_options();
  const Settings fallbacks(options);
  for (const auto* option : options) {
    const std::string line =
        std::string(option->name.view()) + " = " + to_toml_fallback(*option) + "\n";
    std::vector<Problem> problems;
    const auto section = parse_toml(line, "x.toml", problems);
    ASSERT_TRUE(section.has_value()) << line;
    Settings settings(options);
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

TEST(Schema, HasNoNameTwice) {
  std::set<std::string> names;
  for (const auto* option : collect::all_options()) {
    std::istringstream list(std::string(option->name.view()) + " " + std::string(option->aliases));
    for (std::string name; list >> name;) {
      EXPECT_TRUE(Name::checked(name)) << name;
      auto camel = collectd_name(name);
      std::ranges::transform(camel, camel.begin(),
                             [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
      EXPECT_TRUE(names.insert(camel).second) << name;
    }
  }
}

TEST(Schema, HasAHelpAndAnExpectationForEachOption) {
  for (const auto* option : collect::all_options()) {
    EXPECT_GE(option->help.size(), 10u) << option->name.view();
    EXPECT_EQ(option->help.find('\n'), std::string_view::npos) << option->name.view();
    EXPECT_THAT(expectation(*option), testing::Not(IsEmpty())) << option->name.view();
  }
}

TEST(Schema, HasARangeForEachNumberAndTime) {
  for (const auto* option : collect::all_options()) {
    if (option->takes != Takes::whole && option->takes != Takes::duration) continue;
    EXPECT_LT(option->least, option->most) << option->name.view();
  }
}

TEST(Schema, HasChoicesForEachChoice) {
  for (const auto* option : collect::all_options()) {
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
  for (const auto* option : collect::all_options()) {
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
      "site = \"berlin\"\n",
      "x.toml", problems);
  const auto collectd = parse_collectd(
      "<Plugin wireguard>\n"
      "  GatherWait 2\n"
      "  InterfaceInclude \"wg0\"\n"
      "  InterfaceInclude \"/^x/\"\n"
      "  AllowedIpsFieldMax 7\n"
      "  IgnoreSelected true\n"
      "  Name \"xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=\" \"laptop\"\n"
      "  Label \"xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=\" \"site\" \"berlin\"\n"
      "</Plugin>\n",
      "collectd.conf");
  ASSERT_TRUE(toml.has_value());
  ASSERT_TRUE(collectd.has_value());
  const auto options = collect::all_options();
  const auto named = [&](std::string_view name) -> const Option& {
    return **std::ranges::find_if(options, [&](auto* o) { return o->name.view() == name; });
  };
  for (const auto* section : {&*toml, &*collectd}) {
    Settings settings(options);
    settings.read(*section, problems);
    EXPECT_TRUE(problems.empty()) << problems.front().text;
    EXPECT_EQ(settings.duration(named("gather_wait")), std::chrono::milliseconds(2000));
    EXPECT_THAT(settings.texts(named("interface_include")), ElementsAre("wg0", "/^x/"));
    EXPECT_EQ(settings.whole(named("allowed_ips_field_max")), 7);
    EXPECT_TRUE(settings.truth(named("ignore_selected")));
    EXPECT_THAT(settings.rows(named("names")), ElementsAre(ElementsAre(key, "laptop")));
    EXPECT_THAT(settings.rows(named("labels")), ElementsAre(ElementsAre(key, "site", "berlin")));
  }
}

}  // namespace
}  // namespace wgvitals::config
