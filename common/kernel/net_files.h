// Files of /proc/net, as our own network namespace or another shows them.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <utility>

#include "common/base/fd.h"
#include "common/base/files.h"
#include "common/base/result.h"

namespace wgvitals::kernel {

// Another namespace's are opened once by a thread inside (setns(2), which needs CAP_SYS_ADMIN) and
// then read from here: what a file of /proc/net shows is settled when it is opened. That keeps the
// namespace alive, so the owner forgets this when the namespace's name is gone. One thread.
class NetFiles {
 public:
  // `netns` empty: our own, below `root`, which outlives this.
  explicit NetFiles(const Root& root, std::filesystem::path netns = {})
      : root_(root), netns_(std::move(netns)) {}

  // The whole of /proc/net/<name>. absent where the namespace has none.
  Result<std::string> read(const std::string& name);

 private:
  const Root& root_;
  std::filesystem::path netns_;
  std::map<std::string, Fd> files_;
};

}  // namespace wgvitals::kernel
