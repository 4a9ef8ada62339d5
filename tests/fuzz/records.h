// A record of any family, with any labels and values that the product may have to write, chosen by
// a fuzzer's bytes.
#pragma once

#include <deque>
#include <set>
#include <string>
#include <vector>

#include "common/base/text.h"
#include "common/collect/families.h"
#include "common/collect/names.h"
#include "common/model/names.h"
#include "tests/fuzz/bytes.h"
#include "tests/support/keys.h"
#include "tests/support/things.h"

namespace wgvitals::fuzz {

// The catalogue's, and one with a metric of each type.
inline const std::vector<const Family*>& families() {
  static const auto all = [] {
    auto families = collect::all_families();
    families.push_back(&test::things);
    return families;
  }();
  return all;
}

class OddRecord {
 public:
  // `before`: a record whose labels this one may have, too.
  explicit OddRecord(Bytes& in, const OddRecord* before = nullptr)
      : family_(*families()[in.below(families().size())]) {
    if (before != nullptr && in.flag()) {
      labels_ = before->labels_;
      add_readings(in);
      return;
    }
    for (const auto* label : family_.labels) {
      if (in.below(4) != 0) labels_.push_back({label, label_value(in, *label)});
    }
    if (family_.configured_labels) add_configured_labels(in);
    add_readings(in);
  }
  OddRecord(const OddRecord&) = delete;

  Record record() const { return {family_, labels_, readings_}; }

 private:
  std::string_view keep(std::string text) { return texts_.emplace_back(std::move(text)); }

  // Whoever makes a label makes it printable.
  std::string_view label_value(Bytes& in, const LabelName& label) {
    if (&label == &public_key_label) return keep(test::key_text(in.number<std::uint32_t>()));
    return keep(text::to_printable(in.text()));
  }

  void add_configured_labels(Bytes& in) {
    std::set<std::string_view> used;
    for (auto left = in.below(most_peer_labels); left > 0; --left) {
      const auto tag = keep(std::string(in.text()));
      // `things` alone has a tag "site", so nobody refuses it.
      if (!collect::refuse_label(tag).empty() || tag == "site" || !used.insert(tag).second)
        continue;
      labels_.push_back({&names_.emplace_back(LabelName{*Name::checked(tag)}),
                         keep(text::to_printable(in.text()))});
    }
  }

  void add_readings(Bytes& in) {
    for (const auto* metric : family_.metrics) {
      if (in.below(4) != 0) readings_.push_back({metric, value(in, metric->type)});
    }
  }

  Value value(Bytes& in, Type type) {
    switch (type) {
      case Type::i64:
        return in.number<std::int64_t>();
      case Type::u64:
        return in.number<std::uint64_t>();
      case Type::f64:
        // Any pattern of bits, or one of the decimals that are usual.
        if (in.flag()) return in.number<double>();
        return static_cast<double>(in.number<std::int32_t>()) / 1000;
      case Type::boolean:
        return in.flag();
      case Type::text:
        break;
    }
    // Printable but for line ends, which the writers replace.
    return std::string_view(keep(text::to_printable(in.text(), in.flag() ? '\n' : '\r')));
  }

  const Family& family_;
  std::deque<std::string> texts_;
  std::deque<LabelName> names_;
  std::vector<Label> labels_;
  std::vector<Reading> readings_;
};

}  // namespace wgvitals::fuzz
