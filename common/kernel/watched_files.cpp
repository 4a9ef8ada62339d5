#include "common/kernel/watched_files.h"

#include <dirent.h>
#include <fnmatch.h>

#include <cerrno>
#include <memory>

namespace wgvitals::kernel {
namespace {

struct CloseFolder {
  void operator()(DIR* folder) const { ::closedir(folder); }
};

// Only the last part of a pattern may have wildcards.
Result<std::vector<std::filesystem::path>> list(const std::filesystem::path& pattern) {
  const auto folder_path = pattern.parent_path();
  const auto wanted = pattern.filename().string();
  const std::unique_ptr<DIR, CloseFolder> folder(::opendir(folder_path.c_str()));
  if (!folder) return Error{errc_of_file(errno), errno, folder_path};
  std::vector<std::filesystem::path> found;
  while (const dirent* entry = ::readdir(folder.get())) {
    if (::fnmatch(wanted.c_str(), entry->d_name, FNM_PERIOD) == 0) {
      found.push_back(folder_path / entry->d_name);
    }
  }
  return found;
}

}  // namespace

bool WatchedFiles::same(const Stamp& left, const Stamp& right) {
  const auto equal = [](const timespec& a, const timespec& b) {
    return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
  };
  return left.device == right.device && left.inode == right.inode && left.size == right.size &&
         equal(left.written, right.written) && equal(left.altered, right.altered);
}

std::vector<std::filesystem::path> WatchedFiles::changed(Report& report) {
  std::vector<std::filesystem::path> changed;
  std::map<std::filesystem::path, Stamp> stamps;
  for (const auto& pattern : patterns_) {
    const auto listed = list(root_.full_path(pattern));
    if (!listed) {
      if (listed.error().code != Errc::absent) report.failed(listed.error());
      continue;
    }
    for (const auto& path : *listed) {
      struct stat status {};
      if (::stat(path.c_str(), &status) != 0) {
        const int number = errno;
        if (number != ENOENT) report.failed({errc_of_file(number), number, path});
        continue;
      }
      if (!S_ISREG(status.st_mode)) {
        const bool meant = path.filename() == std::filesystem::path(pattern).filename();
        if (meant) report.failed({Errc::malformed, 0, path.string() + ": not a file"});
        continue;
      }
      if (status.st_size == 0) continue;
      const Stamp stamp{status.st_dev, status.st_ino, status.st_size, status.st_mtim,
                        status.st_ctim};
      if (!stamps.emplace(path, stamp).second) continue;  // named by two patterns
      const auto known = stamps_.find(path);
      if (known == stamps_.end() || !same(known->second, stamp)) changed.push_back(path);
    }
  }
  altered_ = !changed.empty() || stamps.size() != stamps_.size();
  stamps_ = std::move(stamps);
  return changed;
}

}  // namespace wgvitals::kernel
