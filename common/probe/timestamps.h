// The timestamps of initiations. A server drops an initiation whose timestamp is not later than the
// last one of that key (drivers/net/wireguard/noise.c), so they never go back: not at a restart,
// nor between processes that share a key, nor when the clock is set back. The last one is in a file
// of its key, written under a lock before it is used.
#pragma once

#include <cstdint>
#include <filesystem>
#include <mutex>
#include <optional>

#include "common/base/fd.h"
#include "common/base/files.h"
#include "common/base/result.h"
#include "common/model/key.h"

namespace wgvitals::probe {

// Where state is kept: the first of $STATE_DIRECTORY (systemd), /var/lib/wgvitals, and the user's
// own ($XDG_STATE_HOME/wgvitals, ~/.local/state/wgvitals) that can be written; made where it is not
// there. denied, naming them all, where none can.
Result<std::filesystem::path> find_state_folder(const Root& root = Root());

// Any thread. In the file, whose name is made of the public key, is one line: nanoseconds since
// 1970.
class Timestamps {
 public:
  struct Stamp {
    std::int64_t wall_ns = 0;   // since 1970; later than every one before
    std::int64_t ahead_ns = 0;  // of the clock: how far what was used before forced it to be
    // Another process's initiation is so near that a server of both would drop this one: it is to
    // be sent after so long, for which time the stamp is reserved.
    std::int64_t wait_ns = 0;
  };
  // Between initiations of a key to a server: 20 ms (drivers/net/wireguard/messages.h,
  // INITIATIONS_PER_SECOND), and some more for the server's coarse clock and the way there.
  static constexpr std::int64_t least_gap_ns = 30'000'000;

  // `folder` empty: nothing is kept, and they are monotonic in this process only. A file that
  // cannot be used is told by trouble(); it goes on without, and tries again each time.
  Timestamps(const std::optional<std::filesystem::path>& folder, const PublicKey& key);

  // The least that is later than all before: `now_ns`, else 1 ns more than the last one.
  // `ahead_ns`: as if the clock were ahead by so much, on purpose. The file is written before this
  // returns. Waits for the lock of another process, which holds it for the time of a write; for one
  // that was stopped meanwhile only a second, and only once.
  Stamp next(std::int64_t now_ns, std::int64_t ahead_ns = 0);

  // Nothing was known of this key when this began: servers may remember more.
  bool was_new() const;
  // Of the last call: names the file and the remedy.
  std::optional<Error> trouble() const;

 private:
  std::optional<Error> open();
  std::optional<Error> lock();
  std::optional<Error> wait_for_lock() const;
  std::optional<Error> load();
  std::optional<Error> store() const;
  void unlock() const;
  Error failure(int number) const;

  std::filesystem::path file_;  // empty: none
  mutable std::mutex mutex_;    // of all below
  Fd opened_;
  std::int64_t last_ = 0;  // anybody's
  std::int64_t own_ = 0;   // the last one that next() gave
  bool was_new_ = true;
  std::optional<Error> trouble_;
};

}  // namespace wgvitals::probe
