#include "common/kernel/net_files.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "common/kernel/namespace.h"

namespace wgvitals::kernel {

Result<std::string_view> NetFiles::read(const std::string& name, std::size_t limit) {
  if (!netns_.empty()) return read_beyond(name, limit);
  auto known = own_.find(name);
  if (known == own_.end()) known = own_.try_emplace(name, root_, "proc/net/" + name).first;
  return known->second.read(limit);
}

Result<std::string_view> NetFiles::read_beyond(const std::string& name, std::size_t limit) {
  auto& [file, text] = beyond_[name];
  // Not /proc/net, which is the main thread's.
  const auto path = "/proc/thread-self/net/" + name;
  if (!file) {
    auto opened = open_in(netns_, [&]() -> Result<Fd> {
      Fd inside(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
      if (!inside) return Error{errc_of_file(errno), errno, path};
      return inside;
    });
    if (!opened) return opened.error();
    file = std::move(*opened);
  }
  text.clear();
  char block[4096];
  while (text.size() <= limit) {
    const auto size = ::pread(file.get(), block, sizeof block, static_cast<off_t>(text.size()));
    if (size < 0) return Error{errc_of_file(errno), errno, path};
    if (size == 0) return std::string_view(text);
    text.append(block, static_cast<std::size_t>(size));
  }
  return Error{Errc::malformed, 0, path + ": too large"};
}

}  // namespace wgvitals::kernel
