#include "common/output/prometheus.h"

#include <fmt/format.h>

#include "common/output/number.h"

namespace wgvitals::output {
namespace {

struct BaseUnit {
  std::string_view field_suffix;  // what the field's name ends in
  std::string_view suffix;        // what Prometheus' name ends in
  double divisor;                 // an exact number, so that 5 ns do not become 5.000000001e-9
};

BaseUnit to_base_unit(Unit unit) {
  switch (unit) {
    case Unit::bytes:
      return {"_bytes", "_bytes", 1};
    case Unit::seconds:
      return {"_s", "_seconds", 1};
    case Unit::milliseconds:
      return {"_ms", "_seconds", 1e3};
    case Unit::nanoseconds:
      return {"_ns", "_seconds", 1e9};
    case Unit::percent:
      return {"_percent", "_ratio", 1e2};
    default:
      return {"", "", 1};
  }
}

std::string stem_of(const Family& family) {
  constexpr std::string_view prefix = "wireguard_";
  auto name = family.name.view();
  if (name.starts_with(prefix)) name.remove_prefix(prefix.size());
  return std::string(prefix) + std::string(name);
}

void append_label(std::string& out, std::string_view name, std::string_view value) {
  if (value.empty()) return;
  out += out.empty() ? '{' : ',';
  out += name;
  out += "=\"";
  for (const char c : value) {
    if (c == '\\' || c == '"') out += '\\';
    if (c == '\n') {
      out += "\\n";
    } else {
      out += c;
    }
  }
  out += '"';
}

std::string_view name_of(const LabelName& label) {
  return label.prometheus.empty() ? label.tag.view() : label.prometheus;
}

std::string_view name_of_text(const Metric& metric) {
  return metric.prometheus.empty() ? metric.field.view() : metric.prometheus;
}

void append_scaled(std::string& out, const Value& value, double divisor) {
  if (divisor == 1) {
    append_value(out, value);
  } else {
    append_number(out, value.as(Type::f64).f64() / divisor);
  }
}

}  // namespace

std::string to_prometheus_name(const Family& family, const Metric& metric) {
  if (!metric.prometheus.empty()) return std::string(metric.prometheus);
  const auto unit = to_base_unit(metric.unit);
  auto field = metric.field.view();
  if (field.ends_with(unit.field_suffix)) field.remove_suffix(unit.field_suffix.size());
  auto name = stem_of(family) + "_" + std::string(field) + std::string(unit.suffix);
  if (metric.kind == Kind::counter) name += "_total";
  return name;
}

Prometheus::Page& Prometheus::page(const std::string& name, std::string_view help,
                                   std::string_view type) {
  auto& page = pages_[name];
  if (page.help.empty()) page = {std::string(help), std::string(type), {}};
  return page;
}

void Prometheus::take(const Record& record) {
  std::string labels;
  for (const auto& label : record.labels) append_label(labels, name_of(*label.name), label.value);
  std::string with_texts = labels;
  for (const auto& reading : record.readings) {
    const auto& metric = *reading.metric;
    if (reading.value.type() == Type::text) {
      append_label(with_texts, name_of_text(metric), reading.value.text());
      continue;
    }
    if (!is_plain_number(reading.value)) continue;
    const auto name = to_prometheus_name(record.family, metric);
    auto& samples =
        page(name, metric.help, metric.kind == Kind::counter ? "counter" : "gauge").samples;
    samples += name;
    samples += labels;
    if (!labels.empty()) samples += '}';
    samples += ' ';
    append_scaled(samples, reading.value, to_base_unit(metric.unit).divisor);
    samples += '\n';
  }
  if (with_texts.size() == labels.size()) return;
  const auto name = stem_of(record.family) + "_info";
  auto& samples = page(name, record.family.help, "gauge").samples;
  samples += name;
  samples += with_texts;
  samples += "} 1\n";
}

std::string Prometheus::text() const {
  std::string text;
  for (const auto& [name, page] : pages_) {
    text += fmt::format("# HELP {0} {1}\n# TYPE {0} {2}\n", name, page.help, page.type);
    text += page.samples;
  }
  return text;
}

}  // namespace wgvitals::output
