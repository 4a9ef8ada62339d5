// Records through our Prometheus text and back.

#include "common/output/prometheus.h"

#include "tests/fuzz/check.h"
#include "tests/fuzz/prometheus_reader.h"
#include "tests/fuzz/records.h"

namespace wgvitals::fuzz {
namespace {

double in_base_units(const Metric& metric, const Value& value) {
  const double number = value.as(Type::f64).f64();
  switch (metric.unit) {
    case Unit::milliseconds:
      return number / 1000;
    case Unit::nanoseconds:
      return number / 1'000'000'000;
    case Unit::percent:
      return number / 100;
    default:
      return number;
  }
}

std::string name_or(std::string_view name, const Name& otherwise) {
  return std::string(name.empty() ? otherwise.view() : name);
}

// What has to arrive of a record. Empty labels and texts are not said, nor numbers that are none.
PromPage expected_page(const Record& record) {
  PromPage page;
  PromLabels labels;
  for (const auto& [name, value] : record.labels) {
    if (!value.empty()) labels[name_or(name->prometheus, name->tag)] = value;
  }
  auto with_texts = labels;
  for (const auto& [metric, value] : record.readings) {
    if (value.type() == Type::text) {
      if (!value.text().empty())
        with_texts[name_or(metric->prometheus, metric->field)] = value.text();
      continue;
    }
    const double number = in_base_units(*metric, value);
    if (!(number - number == 0)) continue;
    auto& one = page[output::to_prometheus_name(record.family, *metric)];
    one = {std::string(metric->help), metric->kind == Kind::counter ? "counter" : "gauge", {}};
    one.samples[labels] = number;
  }
  if (with_texts.size() > labels.size()) {
    std::string name(record.family.name.view());
    if (!name.starts_with("wireguard_")) name = "wireguard_" + name;
    page[name + "_info"] = {std::string(record.family.help), "gauge", {{with_texts, 1}}};
  }
  return page;
}

// Nothing in the product tells a thing twice.
bool is_told(const PromPage& page, const PromPage& known) {
  for (const auto& [name, metric] : page) {
    const auto same = known.find(name);
    if (same == known.end()) continue;
    for (const auto& [labels, value] : metric.samples) {
      if (same->second.samples.contains(labels)) return true;
    }
  }
  return false;
}

void write_and_read(Bytes& in) {
  output::Prometheus sink;
  PromPage expected;
  while (in.more()) {
    const OddRecord odd(in);
    auto page = expected_page(odd.record());
    if (is_told(page, expected)) continue;
    sink.take(odd.record());
    for (auto& [name, metric] : page) {
      const auto known = expected.try_emplace(name, PromMetric{metric.help, metric.type, {}}).first;
      check(known->second.type == metric.type, "a metric has one type");
      known->second.samples.merge(metric.samples);
    }
  }
  check(PromReader(sink.text()).read() == expected, "what is read is what was said");
}

}  // namespace
}  // namespace wgvitals::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  wgvitals::fuzz::Bytes in(data, size);
  wgvitals::fuzz::write_and_read(in);
  return 0;
}
