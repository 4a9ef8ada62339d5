#include "common/base/fd.h"

#include <fcntl.h>
#include <gtest/gtest.h>

namespace wgvitals {
namespace {

int open_null() { return ::open("/dev/null", O_RDONLY | O_CLOEXEC); }
bool is_open(int fd) { return ::fcntl(fd, F_GETFD) != -1; }

TEST(Fd, ClosesWhatItHolds) {
  const int number = open_null();
  { const Fd fd(number); }
  EXPECT_FALSE(is_open(number));
}

TEST(Fd, HoldsNothingWhereTheSystemRefused) {
  const Fd fd(-1);
  EXPECT_FALSE(fd);
}

TEST(Fd, GivesItsDescriptorAway) {
  const int number = open_null();
  Fd from(number);
  {
    const Fd to(std::move(from));
    EXPECT_EQ(to.get(), number);
    EXPECT_TRUE(is_open(number));
  }
  EXPECT_FALSE(is_open(number));
}

TEST(Fd, ClosesTheOldOneWhenItTakesAnother) {
  const int old = open_null();
  const int number = open_null();
  Fd fd(old);
  fd = Fd(number);
  EXPECT_EQ(fd.get(), number);
  EXPECT_FALSE(is_open(old));
  EXPECT_TRUE(is_open(number));
}

}  // namespace
}  // namespace wgvitals
