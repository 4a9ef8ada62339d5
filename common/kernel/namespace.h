// Other network namespaces of this host.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "common/base/fd.h"
#include "common/base/files.h"
#include "common/base/result.h"

namespace wgvitals::kernel {

// A name below /run/netns, as ip-netns(8) makes them, or a path.
std::filesystem::path namespace_path(const Root& root, std::string_view name);

// Its inode: its identity, also across renames. absent where nothing is there.
Result<std::uint64_t> namespace_inode(const std::filesystem::path& path);

// A netlink socket that lives in the namespace, opened by a short-lived thread that enters it
// (setns(2), which needs CAP_SYS_ADMIN); our own threads stay where they are.
Result<Fd> open_netlink_in(const std::filesystem::path& path, int protocol);

}  // namespace wgvitals::kernel
