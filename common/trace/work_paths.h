// How a work item of WireGuard leads to its device: pure.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>

#include "common/trace/crypto_cpu_maps.h"

namespace wgvitals::trace {

using WorkPaths = std::array<work_path, work_path_count>;

// Where a member of a struct is, in bytes; empty where there is no such thing.
using OffsetOf = std::function<std::optional<std::uint32_t>(const char* type, const char* member)>;

// From the types of drivers/net/wireguard/{device,peer,queueing}.h. What is not there leaves its
// path unknown.
WorkPaths derive_paths(const OffsetOf& offset_of);

}  // namespace wgvitals::trace
