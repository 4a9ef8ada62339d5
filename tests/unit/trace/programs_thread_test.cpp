#include "common/trace/programs_thread.h"

#include <gtest/gtest.h>

#include <thread>

#include "tests/support/temp_root.h"

namespace wgvitals::trace {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;

// Programs that attach where a file is.
struct FakePrograms {
  static constexpr const char* who = "fake";

  static Result<std::unique_ptr<FakePrograms>> attach(const Root& root) {
    if (!root.read("attaches")) return Error{Errc::io, ENOMEM, "fake: no memory"};
    return std::make_unique<FakePrograms>();
  }
  Result<int> read() { return 7; }
  void forget(int) {}
};

class ProgramsThreadTest : public testing::Test {
 protected:
  ProgramsThreadTest() { top_.with("sys/kernel/btf/vmlinux", "types"); }

  // Until it has any answer; 0: an error.
  int read(ProgramsThread<FakePrograms>& thread) {
    for (;;) {
      if (const auto read = thread.read(top_.root())) return *read ? **read : 0;
      std::this_thread::sleep_for(milliseconds(1));
    }
  }

  test::TempRoot top_;
};

TEST_F(ProgramsThreadTest, TriesAgainWhereItFailed) {
  if (find_obstacle(top_.root(), "fake")) return;  // nobody would try
  ProgramsThread<FakePrograms> thread(start_plain_thread, milliseconds(5));
  EXPECT_EQ(read(thread), 0);
  top_.with("attaches", "");
  int answer = 0;
  for (int i = 0; i < 10'000 && answer == 0; ++i) {
    answer = read(thread);
    std::this_thread::sleep_for(milliseconds(1));
  }
  EXPECT_EQ(answer, 7);
}

TEST_F(ProgramsThreadTest, EndsWhileItWaitsForAnotherTry) {
  const auto begun = std::chrono::steady_clock::now();
  {
    ProgramsThread<FakePrograms> thread(start_plain_thread, hours(1));
    EXPECT_EQ(read(thread), 0);
    EXPECT_EQ(read(thread), 0);  // it stays
  }
  EXPECT_LT(std::chrono::steady_clock::now() - begun, std::chrono::seconds(2));
}

}  // namespace
}  // namespace wgvitals::trace
