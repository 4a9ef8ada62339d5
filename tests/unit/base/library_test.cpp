#include "common/base/library.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace wgvitals {
namespace {

using testing::AllOf;
using testing::HasSubstr;

TEST(Library, FindsAFunction) {
  const auto library = Library::open("libm.so.6", "libc6");
  ASSERT_TRUE(library) << to_text(library.error());
  double (*floor)(double) = nullptr;
  ASSERT_TRUE(library->find("floor", floor));
  EXPECT_EQ(floor(2.5), 2);
}

TEST(Library, SaysWhatToInstall) {
  const auto library = Library::open("libwgv-none.so.0", "libwgv0");
  ASSERT_FALSE(library);
  EXPECT_EQ(library.error().code, Errc::absent);
  EXPECT_THAT(to_text(library.error()),
              AllOf(HasSubstr("libwgv-none.so.0"), HasSubstr("install libwgv0")));
}

TEST(Library, SaysWhichFunctionItLacks) {
  const auto library = Library::open("libm.so.6", "libc6");
  void (*function)() = nullptr;
  const auto found = library.value().find("wgv_none", function);
  ASSERT_FALSE(found);
  EXPECT_EQ(function, nullptr);
  EXPECT_THAT(to_text(found.error()), AllOf(HasSubstr("libm.so.6"), HasSubstr("wgv_none")));
}

}  // namespace
}  // namespace wgvitals
