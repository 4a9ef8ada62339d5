// Files of the system, below a root that the caller chooses: "/" in life, a folder in a test.
#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <utility>

#include "common/base/fd.h"
#include "common/base/result.h"

namespace wgvitals {

// What a system call said of a file, as one of our own.
Errc errc_of_file(int number);

class Root {
 public:
  explicit Root(std::filesystem::path top = "/") : top_(std::move(top)) {}

  std::filesystem::path full_path(std::string_view path) const;

  // The whole of a regular file, never waiting. absent where there is none, denied where it may
  // not be read, malformed where it is no regular file or larger than `limit` bytes.
  // Not for files that hold keys.
  Result<std::string> read(std::string_view path, std::size_t limit = 1 << 20) const;

  // The lines of a file that may hold keys, one by one, without their ends; a line is valid during
  // the call only and is wiped after it. Lines over 4,095 bytes are passed over. Errors as read().
  Result<Done> read_secret_lines(std::string_view path,
                                 const std::function<void(std::string_view)>& take,
                                 std::size_t limit = 16 << 20) const;

 private:
  std::filesystem::path top_;
};

// A file that is read again and again, as those of /proc are: opened once, which is most of the
// cost of a short one. Not for files that are replaced, or hold keys.
class KeptFile {
 public:
  KeptFile(const Root& root, std::string_view path) : path_(root.full_path(path)) {}

  // As Root::read(); valid until the next call. After a failure it is opened anew.
  Result<std::string_view> read(std::size_t limit = 1 << 20);

 private:
  std::filesystem::path path_;
  Fd file_;
  std::string text_;
};

}  // namespace wgvitals
