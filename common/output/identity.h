// What tells a record from its neighbours, for hosts that know paths instead of labels.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "common/model/metric.h"

namespace wgvitals::output {

struct Identity {
  std::string_view device, netns;
  std::string_view friendly_name, public_key;  // of a peer
  std::vector<std::string_view> others;  // values of the family's own other labels, in its order

  std::string place() const;      // "wg0", "wg0@blue", "@blue", or nothing
  std::string safe_peer() const;  // the friendly name, else the key in base64url, else nothing
};

// `all`: also labels that identify nothing. `without` (may be null) and labels from configuration
// are no part of it.
Identity to_identity(const Record& record, bool all, const LabelName* without = nullptr);

}  // namespace wgvitals::output
