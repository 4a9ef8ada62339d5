// Everything that can be said.
#pragma once

#include <vector>

#include "common/model/metric.h"

namespace wgvitals::collect {

// In the order of the table; the engine's own and the events' last.
std::vector<const Family*> all_families();

}  // namespace wgvitals::collect
