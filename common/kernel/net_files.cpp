#include "common/kernel/net_files.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "common/kernel/namespace.h"

namespace wgvitals::kernel {

namespace {
constexpr std::size_t largest = 16 << 20;
}

Result<std::string> NetFiles::read(const std::string& name) {
  if (netns_.empty()) return root_.read("proc/net/" + name, largest);
  auto& file = files_.try_emplace(name).first->second;
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
  std::string text;
  char block[4096];
  while (text.size() <= largest) {
    const auto size = ::pread(file.get(), block, sizeof block, static_cast<off_t>(text.size()));
    if (size < 0) return Error{errc_of_file(errno), errno, path};
    if (size == 0) return text;
    text.append(block, static_cast<std::size_t>(size));
  }
  return Error{Errc::malformed, 0, path + ": too large"};
}

}  // namespace wgvitals::kernel
