// Other network namespaces of this host.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

#include "common/base/fd.h"
#include "common/base/files.h"
#include "common/base/result.h"
#include "common/kernel/netlink.h"

namespace wgvitals::kernel {

// A name below /run/netns, as ip-netns(8) makes them, or a path.
std::filesystem::path namespace_path(const Root& root, std::string_view name);

// Its inode: its identity, also across renames. absent where nothing is there.
Result<std::uint64_t> namespace_inode(const std::filesystem::path& path);

// Of the namespace that the calling thread is in; 0 where it is not to be seen.
std::uint64_t own_namespace_inode(const Root& root);

// A socket that lives in the namespace: what `open` returns on a short-lived thread that enters it
// (setns(2), which needs CAP_SYS_ADMIN); our own threads stay where they are.
Result<Fd> open_in(const std::filesystem::path& path, const std::function<Result<Fd>()>& open);

// Netlink sockets that live in the namespace.
OpenNetlink open_netlink_in(std::filesystem::path path);

}  // namespace wgvitals::kernel
