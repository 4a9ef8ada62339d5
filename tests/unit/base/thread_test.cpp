#include "common/base/thread.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <future>
#include <string>
#include <system_error>
#include <thread>

namespace wgvitals {
namespace {

using std::chrono::milliseconds;

TEST(Thread, RunsItsBodyUnderItsName) {
  std::string name;
  Thread thread;
  thread.start(start_plain_thread, "wgvitals", [&] {
    char text[16] = "";
    // The name is set by the starter, which may come to it later than we do.
    for (int i = 0; i < 1000 && std::string(text) != "wgvitals"; ++i) {
      (void)::pthread_getname_np(::pthread_self(), text, sizeof text);
      std::this_thread::sleep_for(milliseconds(1));
    }
    name = text;
  });
  EXPECT_TRUE(thread.running());
  EXPECT_TRUE(thread.join(milliseconds(10'000)));
  EXPECT_FALSE(thread.running());
  EXPECT_EQ(name, "wgvitals");
}

TEST(Thread, ThatNeverStartedIsJoined) { EXPECT_TRUE(Thread().join(milliseconds(0))); }

TEST(Thread, ThatHangsIsLeftBehind) {
  const auto release = std::make_shared<std::promise<void>>();
  const auto ended = std::make_shared<std::promise<void>>();
  auto end = ended->get_future();
  Thread thread;
  thread.start(start_plain_thread, "hangs", [release, ended] {
    release->get_future().wait();
    ended->set_value();
  });
  EXPECT_FALSE(thread.join(milliseconds(20)));
  EXPECT_FALSE(thread.running());
  release->set_value();
  EXPECT_EQ(end.wait_for(std::chrono::seconds(10)), std::future_status::ready);
}

TEST(Thread, SaysThatTheSystemRefused) {
  Thread thread;
  const StartThread refuses = [](pthread_t*, void* (*)(void*), void*, const char*) {
    return EAGAIN;
  };
  EXPECT_THROW(thread.start(refuses, "none", [] {}), std::system_error);
  EXPECT_FALSE(thread.running());
}

}  // namespace
}  // namespace wgvitals
