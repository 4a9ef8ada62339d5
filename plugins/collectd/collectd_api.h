// collectd's plugin API. Last of all includes: it brings macros named ERROR, INFO and the like.
#pragma once

#ifndef HAVE_CONFIG_H
#define HAVE_CONFIG_H 1
#endif
extern "C" {
#include <collectd/core/daemon/collectd.h>
// plugin.h wants collectd.h before it.
#include <collectd/core/daemon/plugin.h>
}
