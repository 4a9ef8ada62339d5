// A family of every type of metric, for tests of outputs.
#pragma once

#include <limits>

#include "common/model/label_names.h"
#include "common/model/metric.h"

namespace wgvitals::test {

inline constexpr LabelName site_label{"site"};
inline constexpr LabelName type_label{"type", "", false};
inline constexpr const LabelName* thing_labels[] = {
    &device_label, &netns_label, &public_key_label, &friendly_name_label, &site_label, &type_label};

inline constexpr Metric whole{"whole", Type::i64, Kind::gauge, Unit::none, "A signed number"};
inline constexpr Metric total{"total", Type::u64, Kind::counter, Unit::none, "An unsigned number"};
inline constexpr Metric real{"real", Type::f64, Kind::gauge, Unit::none, "A float"};
inline constexpr Metric other{"other", Type::f64, Kind::gauge, Unit::none, "Another float"};
inline constexpr Metric flag{"flag", Type::boolean, Kind::gauge, Unit::truth, "A truth"};
inline constexpr Metric words{"words", Type::text, Kind::gauge, Unit::none, "A text"};
inline constexpr const Metric* thing_metrics[] = {&whole, &total, &real, &other, &flag, &words};
inline constexpr Family things{"wireguard_thing", "Things", thing_metrics, thing_labels, {}, true};

inline constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();
inline constexpr double infinite = std::numeric_limits<double>::infinity();

// 2024-02-29 12:00:00.123456789 UTC
inline Now leap_day() {
  return {{}, std::chrono::system_clock::time_point(std::chrono::nanoseconds(1709208000123456789))};
}

}  // namespace wgvitals::test
