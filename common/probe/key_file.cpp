#include "common/probe/key_file.h"

#include <endian.h>
#include <fcntl.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include "common/base/fd.h"
#include "common/base/files.h"
#include "common/base/secret.h"

namespace wgvitals::probe {
namespace {

constexpr std::size_t most_bytes = 256;  // a key is 44 characters, white space may follow
constexpr std::size_t key_text_size = 44;
constexpr unsigned read_and_write = 6;

// acl(5), as systemd gives a service its credentials with. Empty: there is none.
std::optional<std::vector<posix_acl_xattr_entry>> read_acl(const Fd& file) {
  std::array<std::byte, 4096> bytes;
  const auto size = ::fgetxattr(file.get(), "system.posix_acl_access", bytes.data(), bytes.size());
  constexpr auto header = static_cast<ssize_t>(sizeof(posix_acl_xattr_header));
  if (size < header) return std::nullopt;
  std::vector<posix_acl_xattr_entry> entries(static_cast<std::size_t>(size - header) /
                                             sizeof(posix_acl_xattr_entry));
  std::memcpy(entries.data(), bytes.data() + header, entries.size() * sizeof entries[0]);
  return entries;
}

// What anybody may do but the owner, root, and this process's user and group, who may read.
unsigned open_to_others(const struct stat& status, const Fd& file) {
  const auto of_group = [](unsigned allowed, gid_t group) {
    return group == ::getegid() ? allowed & ~4u : allowed;
  };
  const auto group = status.st_mode >> 3 & read_and_write;  // with an ACL: its mask
  auto open = status.st_mode & read_and_write;
  const auto acl = read_acl(file);
  if (!acl) return open | of_group(group, status.st_gid);
  for (const auto& entry : *acl) {
    const auto id = le32toh(entry.e_id);
    const auto allowed = le16toh(entry.e_perm) & group;
    const auto tag = le16toh(entry.e_tag);
    if (tag == ACL_USER && id != 0 && id != ::geteuid()) open |= allowed;
    if (tag == ACL_GROUP_OBJ) open |= of_group(allowed, status.st_gid);
    if (tag == ACL_GROUP) open |= of_group(allowed, id);
  }
  return open;
}

// What mends owner and mode of a file; empty where there is nothing to mend.
std::string to_remedy(const struct stat& status, const Fd& opened, const std::string& file) {
  const auto user = ::geteuid();
  const bool owned = status.st_uid == user || status.st_uid == 0;
  const bool closed = open_to_others(status, opened) == 0;
  if (owned && closed) return {};
  // As `wgvitals probe setup` says to open it to a service: closing it would lock that out.
  const bool for_service =
      owned && (status.st_mode & 7) == 0 && open_to_others(status, opened) == 4;
  std::string remedy;
  if (status.st_uid != user) remedy = "chown " + std::to_string(user) + ' ' + file;
  if (!closed) remedy += (remedy.empty() ? "chmod 600 " : " && chmod 600 ") + file;
  const auto* what = !owned ? ": belongs to another user: " : ": open to other users: ";
  return file + what + remedy +
         (for_service ? "; or, where a service reads it by its group, run this as that service's "
                        "user: sudo -u USER"
                      : "");
}

bool is_blank(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

// All bits where low <= c <= high, else none.
std::uint32_t between(std::uint32_t c, std::uint32_t low, std::uint32_t high) {
  return (((c - low) | (high - c)) >> 31) - 1;
}

// What a character of base64 stands for, and 1; 0 where it is none.
std::uint32_t sextet_and_1(std::uint32_t c) {
  return (between(c, 'A', 'Z') & (c - 'A' + 1)) | (between(c, 'a', 'z') & (c - 'a' + 27)) |
         (between(c, '0', '9') & (c - '0' + 53)) | (between(c, '+', '+') & 63) |
         (between(c, '/', '/') & 64);
}

// As wg(8) reads it: nothing before the key, white space behind it. nullptr, or what is wrong.
const char* parse(std::string_view text, std::span<std::uint8_t, 32> into) {
  if (text.empty()) return ": empty, no key";
  if (text.size() > most_bytes) return ": too long for a key";
  const bool right = text.size() >= key_text_size &&
                     std::all_of(text.begin() + key_text_size, text.end(), is_blank) &&
                     decode_key(text.substr(0, key_text_size), into);
  if (!right) return ": no key: 44 characters of base64, as 'wg genkey' writes them";
  unsigned bits = 0;
  for (const auto byte : into) bits |= byte;
  return bits != 0 ? nullptr : ": all zeros, no key";
}

// A regular file whose owner and mode are as they have to be.
Result<Fd> open_key_file(const std::filesystem::path& file) {
  Fd opened(::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!opened) {
    const int number = errno;
    if (errc_of_file(number) != Errc::denied) return Error{errc_of_file(number), number, file};
    const auto user = std::to_string(::geteuid());
    return Error{Errc::denied, 0,
                 file.string() + ": user " + user +
                     " may not read it, or enter its folder: chown " + user + ' ' + file.string()};
  }
  struct stat status {};
  if (::fstat(opened.get(), &status) != 0) return Error{Errc::io, errno, file};
  if (!S_ISREG(status.st_mode)) return Error{Errc::malformed, 0, file.string() + ": not a file"};
  if (auto remedy = to_remedy(status, opened, file); !remedy.empty())
    return Error{Errc::denied, 0, std::move(remedy)};
  return opened;
}

}  // namespace

// As key_from_base64(), but that no byte of the key is anywhere but in `into`.
bool decode_key(std::string_view base64, std::span<std::uint8_t, 32> into) {
  if (base64.size() != key_text_size || base64.back() != '=') return false;
  std::uint32_t bits = 0, wrong = 0;
  unsigned held = 0;
  std::size_t out = 0;
  for (const char c : base64.substr(0, key_text_size - 1)) {
    const auto sextet = sextet_and_1(static_cast<std::uint8_t>(c)) - 1;
    wrong |= sextet >> 6;
    bits = bits << 6 | (sextet & 63);
    held += 6;
    if (held < 8) continue;
    held -= 8;
    into[out++] = static_cast<std::uint8_t>(bits >> held);
  }
  wrong |= bits & ((1u << held) - 1);  // stray bits
  ::explicit_bzero(&bits, sizeof bits);
  return wrong == 0;
}

Result<Done> check_key_file(const std::filesystem::path& file) {
  const auto opened = open_key_file(file);
  if (!opened) return opened.error();
  return Done{};
}

Result<Done> read_key_file(const std::filesystem::path& file, std::span<std::uint8_t, 32> into) {
  const auto opened = open_key_file(file);
  if (!opened) return opened.error();
  const SecretBuffer buffer(most_bytes + 1);
  const auto bytes = buffer.bytes().first(most_bytes + 1);
  std::size_t held = 0;
  while (held < bytes.size()) {
    const auto size = ::read(opened->get(), bytes.data() + held, bytes.size() - held);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return Error{errc_of_file(errno), errno, file};
    if (size == 0) break;
    held += static_cast<std::size_t>(size);
  }
  const auto* why = parse({reinterpret_cast<const char*>(bytes.data()), held}, into);
  if (why == nullptr) return Done{};
  ::explicit_bzero(into.data(), into.size());
  return Error{Errc::malformed, 0, file.string() + why};
}

}  // namespace wgvitals::probe
