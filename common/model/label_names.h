// The labels that several families share.
#pragma once

#include "common/model/metric.h"

namespace wgvitals {

inline constexpr LabelName device_label{"device", "interface"};
inline constexpr LabelName device_name_label{"name", "interface"};  // the same, of wireguard_device
inline constexpr LabelName netns_label{"netns"};  // only in a configured other namespace
inline constexpr LabelName public_key_label{"public_key", "", true, true};
inline constexpr LabelName friendly_name_label{"friendly_name"};

}  // namespace wgvitals
