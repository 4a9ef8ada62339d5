// Names and labels of peers, from configuration and files.
#pragma once

#include <string>

#include "common/base/files.h"
#include "common/base/report.h"
#include "common/config/option.h"
#include "common/model/names.h"

namespace wgvitals::collect {

// Empty where a configured label of this name may be used; else why not.
std::string refuse_label(std::string_view name);

// As the collector peer_names sees them now, but without what was exported before: a name that is
// gone from its source must not live on in the export.
PeerNames read_original_names(const Root& root, config::Settings settings, Report& report);

}  // namespace wgvitals::collect
