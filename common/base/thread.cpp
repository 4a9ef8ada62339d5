#include "common/base/thread.h"

#include <cassert>
#include <cerrno>
#include <system_error>
#include <thread>
#include <utility>

namespace wgvitals {
namespace {

void* run(void* argument) {
  const std::unique_ptr<std::function<void()>> body(static_cast<std::function<void()>*>(argument));
  (*body)();
  return nullptr;
}

}  // namespace

int start_plain_thread(pthread_t* thread, void* (*body)(void*), void* argument, const char* name) {
  const int failure = ::pthread_create(thread, nullptr, body, argument);
  if (failure == 0) (void)::pthread_setname_np(*thread, name);
  return failure;
}

Thread::~Thread() { assert(!running_); }

void Thread::start(StartThread starter, const char* name, std::function<void()> body) {
  assert(!running_);
  auto owned = std::make_unique<std::function<void()>>(std::move(body));
  const int failure = starter(&thread_, run, owned.get(), name);
  if (failure != 0) throw std::system_error(failure, std::generic_category(), name);
  (void)owned.release();
  running_ = true;
}

bool Thread::join(std::chrono::milliseconds wait) {
  if (!running_) return true;
  running_ = false;
  // Tried again and again: pthread_timedjoin_np() goes by a clock that may be set, and
  // ThreadSanitizer does not know pthread_clockjoin_np().
  const auto until = std::chrono::steady_clock::now() + wait;
  int failure = ::pthread_tryjoin_np(thread_, nullptr);
  while (failure == EBUSY && std::chrono::steady_clock::now() < until) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    failure = ::pthread_tryjoin_np(thread_, nullptr);
  }
  if (failure != 0) (void)::pthread_detach(thread_);
  return failure == 0;
}

}  // namespace wgvitals
