// The product's own families and metrics, looked up by their names.
#pragma once

#include <stdexcept>
#include <string>
#include <vector>

#include "common/collect/families.h"

namespace wgvitals::test {

// The family, of possibly several of this name, that has this field.
inline const Family& family(std::string_view name, std::string_view field) {
  for (const auto* family : collect::all_families()) {
    if (family->name.view() != name) continue;
    for (const auto* metric : family->metrics) {
      if (metric->field.view() == field) return *family;
    }
  }
  throw std::out_of_range(std::string(name) + " has no field " + std::string(field));
}

inline const LabelName& label(const Family& family, std::string_view tag) {
  for (const auto* label : family.labels) {
    if (label->tag.view() == tag) return *label;
  }
  throw std::out_of_range(std::string(family.name.view()) + " has no tag " + std::string(tag));
}

// One record of the product: tags and fields by name, given to a sink.
struct Thing {
  std::string_view family;
  std::vector<std::pair<std::string_view, std::string_view>> tags;
  std::vector<std::pair<std::string_view, Value>> fields;
};

inline void take(const Thing& thing, Sink& sink) {
  const auto& family = test::family(thing.family, thing.fields.front().first);
  std::vector<Label> labels;
  for (const auto& [tag, value] : thing.tags) labels.push_back({&label(family, tag), value});
  std::vector<Reading> readings;
  for (const auto& [field, value] : thing.fields) {
    for (const auto* metric : family.metrics) {
      if (metric->field.view() == field) readings.push_back({metric, value.as(metric->type)});
    }
  }
  if (readings.size() != thing.fields.size()) throw std::out_of_range("fields of several families");
  sink.take(Record{family, labels, readings});
}

}  // namespace wgvitals::test
