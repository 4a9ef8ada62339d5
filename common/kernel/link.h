// Network links by rtnetlink (RTM_GETLINK; include/uapi/linux/if_link.h).
#pragma once

#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "common/base/files.h"
#include "common/base/report.h"
#include "common/base/result.h"
#include "common/kernel/netlink.h"
#include "common/model/devices.h"

namespace wgvitals::kernel {

// One RTM_NEWLINK message. malformed where a known attribute has a wrong size.
Result<Link> parse_link(const nlmsghdr& message);

// All links of a kind. The kernel filters where it knows the kind (so thousands of others cost
// nothing), and asking never loads a module.
Result<std::vector<Link>> read_links(Netlink& route, std::string_view kind);

// One link by its name; absent where there is none.
Result<Link> read_link(Netlink& route, std::string_view name);

// Link::threaded, of a link of our own namespace. Empty where sysfs is not there (before
// Linux 5.12, or not mounted), or shows another namespace than ours.
std::optional<bool> read_threaded(const Root& root, const Link& link);

// False, and reported, where a device has a name that no output can carry: changed, it might be the
// name of another device.
bool is_tellable(std::string_view device, Report& report);

}  // namespace wgvitals::kernel
