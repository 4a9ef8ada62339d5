// Files that are looked at again and again, and read only when they changed.
#pragma once

#include <sys/stat.h>

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "common/base/files.h"
#include "common/base/report.h"

namespace wgvitals::kernel {

class WatchedFiles {
 public:
  // Paths as in a shell: "/etc/wireguard/*.conf".
  WatchedFiles(const Root& root, std::vector<std::string> patterns)
      : root_(root), patterns_(std::move(patterns)) {}

  // What is new or changed since the last call. A folder that may not be listed is reported. Empty
  // files are passed over: somebody is about to write them.
  std::vector<std::filesystem::path> changed(Report& report);

  // Did the last call find anything new, changed or gone?
  bool altered() const { return altered_; }
  // Was the file there at the last call?
  bool present(const std::filesystem::path& path) const { return stamps_.contains(path); }

 private:
  struct Stamp {
    dev_t device;
    ino_t inode;
    off_t size;
    timespec written, altered;
  };
  static bool same(const Stamp& left, const Stamp& right);

  const Root& root_;
  std::vector<std::string> patterns_;
  std::map<std::filesystem::path, Stamp> stamps_;
  bool altered_ = false;
};

}  // namespace wgvitals::kernel
