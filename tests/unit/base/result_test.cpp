#include "common/base/result.h"

#include <gtest/gtest.h>

#include <cerrno>

namespace wgvitals {
namespace {

TEST(Result, HoldsAValue) {
  Result<int> result(7);
  ASSERT_TRUE(result.has_value());
  EXPECT_EQ(*result, 7);
  EXPECT_THROW((void)result.error(), std::bad_variant_access);
}

TEST(Result, HoldsAnError) {
  const Result<int> result(Error{Errc::denied, EPERM, "wg0"});
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, Errc::denied);
  EXPECT_THROW((void)result.value(), std::bad_variant_access);
}

TEST(ErrorText, HasTheSystemsWordsWhereThereAreSome) {
  EXPECT_EQ(to_text(Error{Errc::malformed, 0, "wg0: peer attribute 7 has 4 bytes"}),
            "wg0: peer attribute 7 has 4 bytes");
  EXPECT_EQ(to_text(Error{Errc::absent, ENOENT, "/etc/x"}), "/etc/x: No such file or directory");
}

}  // namespace
}  // namespace wgvitals
