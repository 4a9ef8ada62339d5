// collectd's configuration tree as a Section.
#pragma once

#include <liboconfig/oconfig.h>

#include "common/config/section.h"

namespace wgvitals::collectd {

// Adds the options and the blocks of one <Plugin wireguard> block. A block deeper inside becomes an
// item "<Name>", which no option takes, so that it is named as unknown.
void add_block(const oconfig_item_t& block, config::Section& section);

}  // namespace wgvitals::collectd
