// What keeps eBPF programs from being attached.
#pragma once

#include <optional>
#include <string_view>

#include "common/base/files.h"
#include "common/base/result.h"

namespace wgvitals::trace {

// As far as it can be told beforehand: absent without BTF, denied by lockdown, or where this thread
// lacks capabilities. `who` stands first in the error.
std::optional<Error> find_obstacle(const Root& root, std::string_view who);

}  // namespace wgvitals::trace
