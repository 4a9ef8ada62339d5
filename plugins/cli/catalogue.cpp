// wgvitals catalogue: every metric, read off the families: the reference page is made of it.

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "common/collect/families.h"
#include "common/output/prometheus.h"
#include "plugins/cli/commands.h"

namespace wgvitals::cli {
namespace {

using nlohmann::ordered_json;

std::string_view to_text(Type type) {
  switch (type) {
    case Type::i64:
      return "i";
    case Type::u64:
      return "u";
    case Type::f64:
      return "f";
    case Type::boolean:
      return "b";
    case Type::text:
      return "s";
  }
  return "";
}

std::string_view to_text(Unit unit) {
  constexpr std::string_view names[] = {"",        "0 or 1",       "bytes",       "packets",
                                        "seconds", "milliseconds", "nanoseconds", "percent"};
  return names[static_cast<std::size_t>(unit)];
}

std::string to_collectd(const Family& family, const Place& place, const Metric& metric) {
  // Behind the first place are those of what is no device's.
  const bool of_device = &place == family.places.data();
  std::string name(place.plugin.view());
  if (place.plugin_instance != nullptr) {
    name += fmt::format("-{}<{}>", place.prefix, place.plugin_instance->tag.view());
  }
  name += '/';
  const auto& given = metric.collectd;
  std::string type(given.type);
  std::string instance(given.instance);
  if (given.type.empty()) {
    type = metric.kind == Kind::counter ? "derive" : metric.unit == Unit::truth ? "bool" : "gauge";
    instance = metric.field.view();
  }
  name += type;
  if (!instance.empty()) name += "-" + instance;
  for (const auto* label : family.labels) {
    const auto tag = label->tag.view();
    if (!label->identifies || label == place.plugin_instance || label == place.without ||
        tag == "netns" || tag == "friendly_name") {
      continue;
    }
    if (!of_device && (tag == "device" || tag == "public_key")) continue;
    name += tag == "public_key" ? std::string("-<peer>") : fmt::format("-<{}>", tag);
  }
  return name;
}

std::string to_collectd(const Family& family, const Metric& metric) {
  std::string names;
  if (metric.type == Type::text) return names;
  for (const auto& place : family.places) {
    (names += names.empty() ? "" : " or ") += to_collectd(family, place, metric);
  }
  return names;
}

std::string to_prometheus(const Family& family, const Metric& metric) {
  if (metric.type != Type::text) return output::to_prometheus_name(family, metric);
  return fmt::format("label {} of wireguard_{}_info",
                     metric.prometheus.empty() ? metric.field.view() : metric.prometheus,
                     family.name.view().substr(family.name.view().find('_') == 9 ? 10 : 0));
}

std::string to_markdown() {
  std::string text =
      "# Metrics\n\n"
      "Made by `wgvitals catalogue --markdown`. Types: `i` signed, `u` unsigned, `f` float, `s` "
      "text. "
      "T marks what is the same as in Telegraf's own plugin. What is not known is left out.\n";
  std::string_view previous;
  for (const auto* family : collect::all_families()) {
    if (family->name.view() != previous) {
      std::string tags;
      for (const auto* label : family->labels) {
        tags += fmt::format("{}`{}`", tags.empty() ? "" : ", ", label->tag.view());
      }
      if (family->configured_labels) tags += ", configured labels";
      text += fmt::format("\n## {}\n\nTags: {}.\n", family->name.view(), tags);
    }
    previous = family->name.view();
    text += fmt::format(
        "\n{}:\n\n| field | type | kind | unit | meaning | collectd | Prometheus |\n"
        "| --- | --- | --- | --- | --- | --- | --- |\n",
        family->help);
    for (const auto* metric : family->metrics) {
      const auto collectd = to_collectd(*family, *metric);
      text += fmt::format(
          "| `{}` | {} | {} | {} | {}{} | {} | {} |\n", metric->field.view(), to_text(metric->type),
          metric->kind == Kind::counter ? "counter" : "gauge", to_text(metric->unit), metric->help,
          metric->telegraf ? " (T)" : "", collectd.empty() ? "" : "`" + collectd + "`",
          to_prometheus(*family, *metric));
    }
  }
  return text;
}

std::string to_json() {
  auto list = ordered_json::array();
  for (const auto* family : collect::all_families()) {
    ordered_json tags = ordered_json::array();
    for (const auto* label : family->labels) tags.push_back(label->tag.view());
    for (const auto* metric : family->metrics) {
      list.push_back({{"measurement", family->name.view()},
                      {"field", metric->field.view()},
                      {"type", to_text(metric->type)},
                      {"kind", metric->kind == Kind::counter ? "counter" : "gauge"},
                      {"unit", to_text(metric->unit)},
                      {"help", metric->help},
                      {"same_as_telegraf", metric->telegraf},
                      {"tags", tags},
                      {"collectd", to_collectd(*family, *metric)},
                      {"prometheus", to_prometheus(*family, *metric)}});
    }
  }
  return list.dump(1) + "\n";
}

std::string to_plain() {
  std::string text;
  std::string_view previous;
  for (const auto* family : collect::all_families()) {
    if (family->name.view() != previous) text += fmt::format("{}\n", family->name.view());
    previous = family->name.view();
    for (const auto* metric : family->metrics) {
      text += fmt::format("  {:<32} {}  {}\n", metric->field.view(), to_text(metric->type),
                          metric->help);
    }
  }
  return text;
}

}  // namespace

Run add_catalogue(CLI::App& app) {
  struct Asked {
    bool markdown = false, json = false;
  };
  const auto asked = std::make_shared<Asked>();
  auto* markdown = app.add_flag("--markdown", asked->markdown, "As the reference page");
  app.add_flag("--json", asked->json, "As JSON")->excludes(markdown);
  return [asked] {
    fmt::print("{}", asked->markdown ? to_markdown() : asked->json ? to_json() : to_plain());
    return 0;
  };
}

}  // namespace wgvitals::cli
