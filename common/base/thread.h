// Threads that a host may want to start in its own way.
#pragma once

#include <pthread.h>

#include <chrono>
#include <functional>
#include <memory>

namespace wgvitals {

// The shape of collectd's plugin_thread_create, which keeps its interval and context in the new
// thread. Returns 0, or what pthread_create said. Names are at most 15 characters.
using StartThread = int (*)(pthread_t* thread, void* (*body)(void*), void* argument,
                            const char* name);

// With pthread_create.
int start_plain_thread(pthread_t* thread, void* (*body)(void*), void* argument, const char* name);

// A running thread. Its body must not throw; what it needs outlives it by shared ownership, because
// one that hangs in the kernel is left behind.
class Thread {
 public:
  Thread() = default;
  Thread(Thread&&) = delete;
  ~Thread();  // must be stopped by then, or was never started

  // Throws std::system_error where the system refuses.
  void start(StartThread starter, const char* name, std::function<void()> body);
  bool running() const { return running_; }

  // Waits until the body returned. false: it did not in time, and was left behind.
  bool join(std::chrono::milliseconds wait);

 private:
  pthread_t thread_{};
  bool running_ = false;
};

}  // namespace wgvitals
