#include "common/output/json.h"

#include <chrono>
#include <nlohmann/json.hpp>

#include "common/model/events.h"
#include "common/output/number.h"

namespace wgvitals::output {

using nlohmann::ordered_json;

void Json::begin(const Now& now) {
  timestamp_ =
      std::chrono::duration_cast<std::chrono::nanoseconds>(now.wall.time_since_epoch()).count();
}

void Json::take(const Record& record) {
  ordered_json tags = ordered_json::object();
  for (const auto& label : record.labels) {
    if (!label.value.empty()) tags[std::string(label.name->tag.view())] = label.value;
  }
  ordered_json fields = ordered_json::object();
  for (const auto& [metric, value] : record.readings) {
    if (value.type() == Type::f64 && !std::isfinite(value.f64())) continue;
    auto& field = fields[std::string(metric->field.view())];
    switch (value.type()) {
      case Type::u64:
        field = value.u64();
        break;
      case Type::i64:
        field = value.i64();
        break;
      case Type::f64:
        field = value.f64();
        break;
      case Type::boolean:
        field = value.boolean();
        break;
      case Type::text:
        field = value.text();
    }
  }
  if (fields.empty()) return;
  const ordered_json metric = {{"name", record.family.name.view()},
                               {"tags", std::move(tags)},
                               {"fields", std::move(fields)},
                               {"timestamp", timestamp_}};
  list_ += list_.empty() ? "" : ",\n";
  list_ += metric.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

void Json::take(const Event& event) { take_as_records(event, *this); }

std::string Json::finish() {
  std::string document = "{\"metrics\":[\n" + list_ + "\n]}\n";
  list_.clear();
  return document;
}

}  // namespace wgvitals::output
