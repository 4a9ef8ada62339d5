#include "common/kernel/namespace.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>

#include <cerrno>
#include <system_error>
#include <thread>
#include <utility>

namespace wgvitals::kernel {

std::filesystem::path namespace_path(const Root& root, std::string_view name) {
  if (name.find('/') != std::string_view::npos) return root.full_path(name);
  return root.full_path("run/netns") / name;
}

Result<std::uint64_t> namespace_inode(const std::filesystem::path& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) return Error{errc_of_file(errno), errno, path};
  return static_cast<std::uint64_t>(status.st_ino);
}

std::uint64_t own_namespace_inode(const Root& root) {
  const auto inode = namespace_inode(root.full_path("proc/thread-self/ns/net"));
  return inode ? *inode : 0;
}

Result<Fd> open_in(const std::filesystem::path& path, const std::function<Result<Fd>()>& open) {
  Result<Fd> socket = Error{Errc::io, 0, path};
  const auto enter = [&] {
    const Fd space(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!space) {
      socket = Error{errc_of_file(errno), errno, path};
    } else if (::setns(space.get(), CLONE_NEWNET) != 0) {
      const int number = errno;
      socket = number == EPERM ? Error{Errc::denied, number,
                                       path.string() + ": entering a namespace needs CAP_SYS_ADMIN"}
                               : Error{Errc::io, number, path};
    } else {
      socket = open();
    }
  };
  try {
    std::thread(enter).join();
  } catch (const std::system_error& refused) {  // there are as many as there may be
    return Error{Errc::io, refused.code().value(), path.string() + ": no thread to enter it"};
  }
  return socket;
}

OpenNetlink open_netlink_in(std::filesystem::path path) {
  return [path = std::move(path)](int protocol) -> Result<std::unique_ptr<Datagram>> {
    auto socket = open_in(path, [&] { return open_netlink_socket(protocol); });
    if (!socket) return socket.error();
    return make_datagram(std::move(*socket));
  };
}

}  // namespace wgvitals::kernel
