// A sink that keeps what it took as plain lines, "family,label=value field=1 other=2.5", for tests
// to compare as a whole, and that refuses a metric or label which the family does not list.
#pragma once

#include <algorithm>
#include <sstream>
#include <stdexcept>
#include <string>

#include "common/model/metric.h"

namespace wgvitals::test {

class Said final : public Sink {
 public:
  void begin(const Now&) override {}

  void take(const Record& record) override {
    out_ << record.family.name.view();
    for (const auto& label : record.labels) {
      if (!record.family.configured_labels) require(record.family.labels, label.name);
      if (label.value.empty()) continue;
      out_ << ',' << label.name->tag.view() << '=' << label.value;
    }
    for (const auto& reading : record.readings) {
      require(record.family.metrics, reading.metric);
      out_ << ' ' << reading.metric->field.view() << '=';
      write(reading.value);
    }
    out_ << '\n';
  }

  void take(const Event& event) override {
    out_ << "event " << event.event.view();
    for (const auto& label : event.labels) {
      out_ << ',' << label.name->tag.view() << '=' << label.value;
    }
    out_ << " from=\"" << event.from << "\" to=\"" << event.to << "\"\n";
  }

  std::string text() const { return out_.str(); }

 private:
  template <class T>
  static void require(std::span<const T* const> listed, const T* used) {
    if (std::ranges::find(listed, used) == listed.end()) throw std::logic_error("not listed");
  }

  void write(const Value& value) {
    switch (value.type()) {
      case Type::u64:
        out_ << value.u64();
        return;
      case Type::i64:
        out_ << value.i64();
        return;
      case Type::f64:
        out_ << value.f64();
        return;
      case Type::boolean:
        out_ << (value.boolean() ? "true" : "false");
        return;
      case Type::text:
        out_ << '"' << value.text() << '"';
        return;
    }
  }

  std::ostringstream out_;
};

}  // namespace wgvitals::test
