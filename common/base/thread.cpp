#include "common/base/thread.h"

#include <time.h>

#include <cassert>
#include <system_error>
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
  timespec until{};
  ::clock_gettime(CLOCK_MONOTONIC, &until);
  const auto nanoseconds = until.tv_nsec + (wait.count() % 1000) * 1'000'000;
  until.tv_sec += wait.count() / 1000 + nanoseconds / 1'000'000'000;
  until.tv_nsec = nanoseconds % 1'000'000'000;
  if (::pthread_clockjoin_np(thread_, nullptr, CLOCK_MONOTONIC, &until) == 0) return true;
  (void)::pthread_detach(thread_);
  return false;
}

}  // namespace wgvitals
