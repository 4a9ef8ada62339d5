// eBPF programs with a thread of their own, which attaches, and detaches at the end. Of the
// engine's thread, which waits for neither.
#pragma once

#include <chrono>
#include <condition_variable>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <system_error>
#include <utility>

#include "common/base/files.h"
#include "common/base/result.h"
#include "common/base/thread.h"
#include "common/trace/obstacle.h"

namespace wgvitals::trace {

// Programs, as CryptoCpu: who, for errors; attach(root), read(), forget(gone).
template <class Programs>
class ProgramsThread {
 public:
  using Read = decltype(std::declval<Programs&>().read());  // a Result

  // `retry_after`: where attaching fails, as for want of memory or of a library.
  explicit ProgramsThread(StartThread start_thread,
                          std::chrono::steady_clock::duration retry_after = std::chrono::hours(1))
      : start_thread_(start_thread), shared_(std::make_shared<Shared>()) {
    shared_->retry_after = retry_after;
  }
  ~ProgramsThread();  // waits for 2 s at most; the kernel detaches all the same, if later
  ProgramsThread(const ProgramsThread&) = delete;
  ProgramsThread& operator=(const ProgramsThread&) = delete;

  // Begins to attach at the first call, if nothing stands against it. Empty: not yet attached. An
  // error of attaching stays until another try succeeds, and is never `absent`: who asks wants to
  // know what is missing.
  std::optional<Read> read(const Root& root);

  template <class Gone>
  void forget(const Gone& gone) {
    const std::scoped_lock lock(shared_->mutex);
    if (shared_->attached) shared_->attached->forget(gone);
  }

 private:
  static Error as_failure(Error error) {
    if (error.code == Errc::absent) error.code = Errc::io;
    return error;
  }

  // What a thread left behind still needs.
  struct Shared {
    std::mutex mutex;
    std::condition_variable changed;
    std::chrono::steady_clock::duration retry_after{};
    bool ends = false;
    std::optional<Error> failed;
    std::unique_ptr<Programs> attached;

    void run(const Root& root);
  };

  StartThread start_thread_;
  std::shared_ptr<Shared> shared_;
  Thread thread_;
};

template <class Programs>
void ProgramsThread<Programs>::Shared::run(const Root& root) {
  const auto is_over = [&] { return ends; };
  std::unique_lock lock(mutex, std::defer_lock);
  auto begun = Programs::attach(root);  // unlocked: read() does not wait for it
  while (!begun) {
    lock.lock();
    failed = begun.error();
    if (changed.wait_for(lock, retry_after, is_over)) return;
    lock.unlock();
    begun = Programs::attach(root);
  }
  lock.lock();
  failed.reset();
  attached = std::move(*begun);
  changed.wait(lock, is_over);
  const auto detached = std::move(attached);
  lock.unlock();
}

template <class Programs>
ProgramsThread<Programs>::~ProgramsThread() {
  {
    const std::scoped_lock lock(shared_->mutex);
    shared_->ends = true;
  }
  shared_->changed.notify_all();
  (void)thread_.join(std::chrono::seconds(2));
}

template <class Programs>
auto ProgramsThread<Programs>::read(const Root& root) -> std::optional<Read> {
  const auto fail = [](int number, const char* what) {
    return Error{Errc::io, number, std::string(Programs::who) + ": " + what};
  };
  if (!thread_.running()) {
    if (auto obstacle = find_obstacle(root, Programs::who)) return Read(as_failure(*obstacle));
    try {
      thread_.start(start_thread_, "wgv-ebpf", [shared = shared_, root, fail] {
        try {
          shared->run(root);
        } catch (const std::exception& error) {
          const std::scoped_lock lock(shared->mutex);
          shared->failed = fail(0, error.what());
        }
      });
    } catch (const std::system_error& error) {
      return Read(fail(error.code().value(), "there is no thread for it"));
    }
  }
  const std::scoped_lock lock(shared_->mutex);
  if (shared_->failed) return Read(as_failure(*shared_->failed));
  if (!shared_->attached) return std::nullopt;
  return shared_->attached->read();
}

}  // namespace wgvitals::trace
