#include "common/base/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "common/base/secret.h"

namespace wgvitals {
namespace {

Result<Fd> open_regular(const std::filesystem::path& path) {
  Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file) return Error{errc_of_file(errno), errno, path};
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) return Error{Errc::io, errno, path};
  if (!S_ISREG(status.st_mode)) return Error{Errc::malformed, 0, path.string() + ": not a file"};
  return file;
}

Error too_large(const std::filesystem::path& path) {
  return {Errc::malformed, 0, path.string() + ": too large"};
}

// From where the file stands.
Result<Done> append_rest(const Fd& file, const std::filesystem::path& path, std::size_t limit,
                         std::string& text) {
  char block[4096];
  while (true) {
    const auto size = ::read(file.get(), block, sizeof block);
    if (size == 0) return Done{};
    if (size < 0) return Error{errc_of_file(errno), errno, path};
    text.append(block, static_cast<std::size_t>(size));
    if (text.size() > limit) return too_large(path);
  }
}

}  // namespace

Errc errc_of_file(int number) {
  if (number == ENOENT || number == ENOTDIR) return Errc::absent;
  if (number == EACCES || number == EPERM) return Errc::denied;
  return Errc::io;
}

std::filesystem::path Root::full_path(std::string_view path) const {
  return top_ / std::filesystem::path(path).relative_path();
}

Result<std::string> Root::read(std::string_view path, std::size_t limit) const {
  const auto full = full_path(path);
  const auto file = open_regular(full);
  if (!file) return file.error();
  std::string text;
  if (auto whole = append_rest(*file, full, limit, text); !whole) return whole.error();
  return text;
}

Result<Done> Root::read_secret_lines(std::string_view path,
                                     const std::function<void(std::string_view)>& take,
                                     std::size_t limit) const {
  const auto full = full_path(path);
  const auto file = open_regular(full);
  if (!file) return file.error();
  const SecretBuffer buffer(4096);
  const auto bytes = buffer.bytes();
  auto* const text = reinterpret_cast<char*>(bytes.data());
  std::size_t held = 0;
  std::size_t total = 0;
  bool passing_over = false;
  while (true) {
    const auto size = ::read(file->get(), text + held, bytes.size() - held);
    if (size < 0) return Error{errc_of_file(errno), errno, full};
    if (size == 0) break;
    held += static_cast<std::size_t>(size);
    total += static_cast<std::size_t>(size);
    if (total > limit) return too_large(full);
    std::size_t start = 0;
    while (const auto* end =
               static_cast<const char*>(std::memchr(text + start, '\n', held - start))) {
      const auto stop = static_cast<std::size_t>(end - text);
      if (!passing_over) take({text + start, stop - start});
      passing_over = false;
      start = stop + 1;
    }
    if (start == 0 && held == bytes.size()) {
      passing_over = true;
      start = held;
    }
    move_secret(text, text + start, held - start);
    held -= start;
    ::explicit_bzero(text + held, bytes.size() - held);
  }
  if (held > 0 && !passing_over) take({text, held});
  return Done{};
}

Result<std::string_view> KeptFile::read(std::size_t limit) {
  text_.clear();
  if (file_) {
    (void)::lseek(file_.get(), 0, SEEK_SET);
  } else {
    auto opened = open_regular(path_);
    if (!opened) return opened.error();
    file_ = std::move(*opened);
  }
  if (auto whole = append_rest(file_, path_, limit, text_); !whole) {
    file_ = Fd();
    return whole.error();
  }
  return std::string_view(text_);
}

}  // namespace wgvitals
