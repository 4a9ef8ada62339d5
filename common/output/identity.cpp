#include "common/output/identity.h"

#include "common/model/key.h"
#include "common/model/label_names.h"

namespace wgvitals::output {

std::string Identity::place() const {
  std::string place(device);
  if (!netns.empty()) (place += '@') += netns;
  return place;
}

std::string Identity::safe_peer() const {
  if (!friendly_name.empty()) return std::string(friendly_name);
  if (public_key.empty()) return {};
  const auto safe = to_url_safe(public_key);
  return std::string(view(safe));
}

Identity to_identity(const Record& record, bool all, const LabelName* without) {
  Identity identity;
  const auto value_of = [&](const LabelName* name) -> std::string_view {
    for (const auto& label : record.labels) {
      if (label.name == name) return label.value;
    }
    return {};
  };
  for (const auto* name : record.family.labels) {
    const auto value = value_of(name);
    if (name == &device_label || name == &device_name_label) {
      identity.device = value;
    } else if (name == &netns_label) {
      identity.netns = value;
    } else if (name == &friendly_name_label) {
      identity.friendly_name = value;
    } else if (name == &public_key_label) {
      identity.public_key = value;
    } else if (!value.empty() && name != without && (all || name->identifies)) {
      identity.others.push_back(value);
    }
  }
  return identity;
}

}  // namespace wgvitals::output
