#include "common/probe/timestamps.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <limits>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "common/base/text.h"

namespace wgvitals::probe {
namespace {

constexpr std::size_t line_size = 20;  // 19 digits: whatever is from 2001 on, and the largest
constexpr std::chrono::milliseconds patience(1000);
constexpr std::chrono::microseconds pause(100);

std::int64_t add(std::int64_t left, std::int64_t right) {
  std::int64_t sum = 0;
  if (!__builtin_add_overflow(left, right, &sum)) return sum;
  return right > 0 ? std::numeric_limits<std::int64_t>::max() : 0;
}

// Absolute paths only, as systemd and the XDG specification have them.
std::filesystem::path folder_of(const char* variable) {
  const char* value = std::getenv(variable);
  if (value == nullptr || *value != '/') return {};
  const std::string_view text = value;
  return text.substr(0, text.find(':'));
}

// A folder that is there, and those below it that are made where they are not.
struct Place {
  std::filesystem::path base, below;
};

bool can_be_written(const Place& place) {
  auto folder = place.base;
  for (const auto& part : place.below) (void)::mkdir((folder /= part).c_str(), 0700);
  struct stat status {};
  return ::stat(folder.c_str(), &status) == 0 && S_ISDIR(status.st_mode) &&
         ::faccessat(AT_FDCWD, folder.c_str(), W_OK | X_OK, AT_EACCESS) == 0;
}

// What root makes in another user's folder is that user's, who goes on with it.
void give_to_owner_of(const std::filesystem::path& folder, const Fd& file) {
  struct stat status {};
  if (::geteuid() != 0 || ::stat(folder.c_str(), &status) != 0) return;
  [[maybe_unused]] const int given = ::fchown(file.get(), status.st_uid, status.st_gid);
}

}  // namespace

Result<std::filesystem::path> find_state_folder(const Root& root) {
  std::vector<Place> places;
  if (auto given = folder_of("STATE_DIRECTORY"); !given.empty()) places.push_back({given, {}});
  places.push_back({root.full_path("var/lib"), "wgvitals"});
  if (const auto state = folder_of("XDG_STATE_HOME"); !state.empty()) {
    places.push_back({state.parent_path(), state.filename() / "wgvitals"});
  } else if (auto home = folder_of("HOME"); !home.empty()) {
    places.push_back({std::move(home), ".local/state/wgvitals"});
  }
  std::string names;
  for (const auto& place : places) {
    auto folder = place.below.empty() ? place.base : place.base / place.below;
    if (can_be_written(place)) return folder;
    names += (names.empty() ? "" : ", ") + folder.string();
  }
  return Error{Errc::denied, 0,
               "timestamps of probes cannot be kept, for none of these folders can be written: " +
                   names + ": StateDirectory=wgvitals-probe in the unit, or install -d -m 700 -o " +
                   std::to_string(::geteuid()) +
                   " /var/lib/wgvitals-probe and STATE_DIRECTORY=/var/lib/wgvitals-probe"};
}

Timestamps::Timestamps(const std::optional<std::filesystem::path>& folder, const PublicKey& key) {
  if (!folder) return;
  const auto base64 = to_base64(key);
  const auto name = to_url_safe(view(base64));
  file_ = *folder / ("timestamp-" + std::string(view(name)));
  trouble_ = lock();
  if (trouble_) return;
  trouble_ = load();
  unlock();
  was_new_ = last_ == 0;
}

Timestamps::Stamp Timestamps::next(std::int64_t now_ns, std::int64_t ahead_ns) {
  const std::lock_guard guard(mutex_);
  trouble_ = lock();
  const bool locked = !file_.empty() && !trouble_;
  if (locked) trouble_ = load();
  const auto since = now_ns - last_;
  // Reservations do not pile up: what is further ahead is a floor, or the other is as busy.
  const bool near = last_ != own_ && since < least_gap_ns && since >= -10 * least_gap_ns;
  const auto wanted = add(now_ns, ahead_ns);
  const auto least = add(last_, near ? least_gap_ns : 1);
  last_ = own_ = std::max(wanted, least);
  if (locked) {
    if (auto failed = store()) trouble_ = std::move(failed);
    unlock();
  }
  if (near) return {last_, 0, least - now_ns};
  return {last_, least > wanted ? least - now_ns : 0, 0};
}

bool Timestamps::was_new() const {
  const std::lock_guard guard(mutex_);
  return was_new_;
}

std::optional<Error> Timestamps::trouble() const {
  const std::lock_guard guard(mutex_);
  return trouble_;
}

// Leaves the file alone where somebody put something else in its place.
std::optional<Error> Timestamps::open() {
  constexpr int flags = O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
  Fd file(::open(file_.c_str(), flags));
  if (!file && errno == ENOENT) {
    file = Fd(::open(file_.c_str(), flags | O_CREAT | O_EXCL, 0600));
    if (file) {
      give_to_owner_of(file_.parent_path(), file);
    } else if (errno == EEXIST) {
      file = Fd(::open(file_.c_str(), flags));
    }
  }
  struct stat status {};
  if (!file || ::fstat(file.get(), &status) != 0) return failure(errno);
  if (!S_ISREG(status.st_mode) || status.st_nlink > 1) {
    return Error{Errc::malformed, 0,
                 file_.string() + ": not a file, or one of several names: rm " + file_.string()};
  }
  opened_ = std::move(file);
  return std::nullopt;
}

std::optional<Error> Timestamps::lock() {
  if (file_.empty()) return std::nullopt;
  for (int tries = 0; tries < 3; ++tries) {
    if (!opened_) {
      if (auto failed = open()) return failed;
    }
    if (auto failed = wait_for_lock()) return failed;
    struct stat status {};
    if (::fstat(opened_.get(), &status) == 0 && status.st_nlink > 0) return std::nullopt;
    opened_ = Fd();  // removed, or replaced, meanwhile
  }
  return failure(ENOENT);
}

std::optional<Error> Timestamps::wait_for_lock() const {
  const bool waited = trouble_ && trouble_->code == Errc::timed_out;
  const auto until = std::chrono::steady_clock::now() + (waited ? patience * 0 : patience);
  while (::flock(opened_.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK && errno != EINTR) return failure(errno);
    if (std::chrono::steady_clock::now() >= until) {
      return Error{Errc::timed_out, 0,
                   file_.string() +
                       ": locked by another process for long: is that stopped? "
                       "(goes on without; two processes may use one timestamp)"};
    }
    std::this_thread::sleep_for(pause);
  }
  return std::nullopt;
}

void Timestamps::unlock() const { (void)::flock(opened_.get(), LOCK_UN); }

std::optional<Error> Timestamps::load() {
  std::array<char, 64> bytes;
  const auto size = ::pread(opened_.get(), bytes.data(), bytes.size(), 0);
  if (size < 0) return failure(errno);
  if (size == 0) return std::nullopt;
  if (static_cast<std::size_t>(size) > line_size && ::ftruncate(opened_.get(), line_size) != 0)
    return failure(errno);
  std::string_view text(bytes.data(), static_cast<std::size_t>(size));
  const auto end = text.find('\n');
  const auto number = text::to_number<std::int64_t>(text.substr(0, end));
  if (end == std::string_view::npos || !number || *number < 0) {
    return Error{Errc::malformed, 0,
                 file_.string() +
                     ": held no timestamp, and was begun anew: servers that remember "
                     "a later one do not answer until the clock has passed it"};
  }
  last_ = std::max(last_, *number);
  return std::nullopt;
}

std::optional<Error> Timestamps::store() const {
  std::array<char, line_size> line;
  line.back() = '\n';
  auto rest = last_;
  for (auto at = line_size - 1; at > 0; rest /= 10) line[--at] = static_cast<char>('0' + rest % 10);
  const auto size = ::pwrite(opened_.get(), line.data(), line.size(), 0);
  if (size == static_cast<ssize_t>(line.size())) return std::nullopt;
  return failure(size < 0 ? errno : ENOSPC);
}

Error Timestamps::failure(int number) const {
  auto where = file_.string() + ": timestamps are not kept over a restart";
  if (errc_of_file(number) != Errc::denied) return {Errc::io, number, std::move(where)};
  where += ": chown " + std::to_string(::geteuid()) + ' ' + file_.string();
  return {Errc::denied, number, std::move(where)};
}

}  // namespace wgvitals::probe
