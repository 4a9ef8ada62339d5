// Files of /proc/net, as our own network namespace or another shows them.
#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "common/base/fd.h"
#include "common/base/files.h"
#include "common/base/result.h"

namespace wgvitals::kernel {

// Opened once: what a file of /proc/net shows is settled then. Another namespace's are opened by a
// thread inside (setns(2), which needs CAP_SYS_ADMIN) and then read from here. That keeps the
// namespace alive, so the owner forgets this when the namespace's name is gone. One thread.
class NetFiles {
 public:
  // `netns` empty: our own, below `root`, which outlives this.
  explicit NetFiles(const Root& root, std::filesystem::path netns = {})
      : root_(root), netns_(std::move(netns)) {}

  // The whole of /proc/net/<name>, valid until it is read again. absent where the namespace has
  // none, malformed where it is larger than `limit` bytes.
  Result<std::string_view> read(const std::string& name, std::size_t limit = 1 << 20);

 private:
  struct Beyond {
    Fd file;
    std::string text;
  };

  Result<std::string_view> read_beyond(const std::string& name, std::size_t limit);

  const Root& root_;
  std::filesystem::path netns_;
  std::map<std::string, KeptFile> own_;
  std::map<std::string, Beyond> beyond_;
};

}  // namespace wgvitals::kernel
