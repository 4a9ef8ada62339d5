#include "common/base/files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <thread>
#include <vector>

#include "tests/support/temp_root.h"

namespace wgvitals {
namespace {

using testing::ElementsAre;
using testing::EndsWith;
using testing::IsEmpty;

struct Lines {
  std::vector<std::string> lines;
  Result<Done> result;
};

Lines secret_lines(const Root& root, std::string_view path, std::size_t limit = 16 << 20) {
  std::vector<std::string> lines;
  auto result = root.read_secret_lines(
      path, [&](std::string_view line) { lines.emplace_back(line); }, limit);
  return {std::move(lines), std::move(result)};
}

std::vector<std::string> secret_lines_of(std::string_view text) {
  test::TempRoot temp;
  temp.with("file", text);
  auto read = secret_lines(temp.root(), "file");
  EXPECT_TRUE(read.result.has_value());
  return read.lines;
}

// Runs as a thread that may not open what only the superuser may.
template <class Work>
void without_rights(Work&& work) {
  std::thread([&] {
    (void)::setfsuid(65534);  // of this thread alone
    work();
  }).join();
}

TEST(RootPath, StaysBelowItsTop) {
  const Root root("/top");
  EXPECT_EQ(root.full_path("proc/net/dev"), "/top/proc/net/dev");
  EXPECT_EQ(root.full_path("/proc/net/dev"), "/top/proc/net/dev");
}

TEST(RootRead, GivesTheWholeFile) {
  test::TempRoot temp;
  const std::string large(10'000, 'x');
  temp.with("etc/small", "one\ntwo").with("empty", "").with("large", large);
  EXPECT_EQ(temp.root().read("/etc/small").value(), "one\ntwo");
  EXPECT_EQ(temp.root().read("empty").value(), "");
  EXPECT_EQ(temp.root().read("large").value(), large);
}

TEST(RootRead, RefusesMoreThanTheLimit) {
  test::TempRoot temp;
  temp.with("file", std::string(100, 'x'));
  EXPECT_TRUE(temp.root().read("file", 100).has_value());
  const auto over = temp.root().read("file", 99);
  ASSERT_FALSE(over);
  EXPECT_EQ(over.error().code, Errc::malformed);
  EXPECT_THAT(over.error().where, EndsWith("file: too large"));
}

TEST(RootRead, TellsWhyThereIsNothing) {
  test::TempRoot temp;
  temp.with("folder/file", "x");
  EXPECT_EQ(temp.root().read("nothing").error().code, Errc::absent);
  EXPECT_EQ(temp.root().read("folder/file/below").error().code, Errc::absent);
  const auto folder = temp.root().read("folder");
  EXPECT_EQ(folder.error().code, Errc::malformed);
  EXPECT_THAT(folder.error().where, EndsWith("folder: not a file"));
}

TEST(RootRead, DoesNotWaitForAPipe) {
  test::TempRoot temp;
  ASSERT_EQ(::mkfifo(temp.root().full_path("pipe").c_str(), 0600), 0);
  EXPECT_EQ(temp.root().read("pipe").error().code, Errc::malformed);
}

TEST(RootRead, TellsDeniedFromAbsent) {
  test::TempRoot temp;
  temp.with("file", "x");
  ASSERT_EQ(::chmod(temp.root().full_path("file").c_str(), 0), 0);
  without_rights([&] {
    EXPECT_EQ(temp.root().read("file").error().code, Errc::denied);
    EXPECT_EQ(secret_lines(temp.root(), "file").result.error().code, Errc::denied);
  });
}

TEST(ErrcOfFile, MapsWhatTheSystemSays) {
  EXPECT_EQ(errc_of_file(ENOENT), Errc::absent);
  EXPECT_EQ(errc_of_file(ENOTDIR), Errc::absent);
  EXPECT_EQ(errc_of_file(EACCES), Errc::denied);
  EXPECT_EQ(errc_of_file(EPERM), Errc::denied);
  EXPECT_EQ(errc_of_file(EIO), Errc::io);
}

TEST(SecretLines, ComeOneByOneWithoutTheirEnds) {
  EXPECT_THAT(secret_lines_of(""), IsEmpty());
  EXPECT_THAT(secret_lines_of("\n"), ElementsAre(""));
  EXPECT_THAT(secret_lines_of("one\n\ntwo\n"), ElementsAre("one", "", "two"));
  EXPECT_THAT(secret_lines_of("one\nno end"), ElementsAre("one", "no end"));
}

TEST(SecretLines, AreWholeAcrossTheBuffersEnd) {
  std::string text;
  std::vector<std::string> expected;
  for (std::size_t i = 0; i < 200; ++i) {
    expected.push_back(std::to_string(i) + std::string(i * 7 % 300, 'x'));
    text += expected.back() + '\n';
  }
  EXPECT_EQ(secret_lines_of(text), expected);
}

TEST(SecretLines, ArePassedOverWhereTheyAreTooLong) {
  for (const std::size_t size : {4094u, 4095u, 4096u, 4097u, 8191u, 8192u, 8193u, 20'000u}) {
    const std::string line(size, 'x');
    const bool fits = size <= 4095;
    for (const std::string before : {"", "before\n"}) {
      std::vector<std::string> expected;
      if (!before.empty()) expected.emplace_back("before");
      if (fits) expected.push_back(line);
      EXPECT_EQ(secret_lines_of(before + line), expected) << size << " without an end";
      EXPECT_EQ(secret_lines_of(before + line + "\n"), expected) << size << " with an end";
      expected.emplace_back("after");
      EXPECT_EQ(secret_lines_of(before + line + "\nafter"), expected) << size;
      EXPECT_EQ(secret_lines_of(before + line + "\nafter\n"), expected) << size;
    }
  }
}

TEST(SecretLines, GiveNoTailOfALongLineForALine) {
  EXPECT_THAT(secret_lines_of(std::string(4096, 'x') + "PrivateKey = tail\nafter\n"),
              ElementsAre("after"));
  EXPECT_THAT(secret_lines_of(std::string(9000, 'x') + "\n" + std::string(9000, 'y') + "\nafter"),
              ElementsAre("after"));
}

TEST(SecretLines, EndWithTheLimit) {
  test::TempRoot temp;
  temp.with("file", "one\ntwo\n");
  EXPECT_TRUE(secret_lines(temp.root(), "file", 8).result.has_value());
  const auto over = secret_lines(temp.root(), "file", 7);
  ASSERT_FALSE(over.result);
  EXPECT_EQ(over.result.error().code, Errc::malformed);
}

TEST(SecretLines, ReportAnAbsentFileAndAFolder) {
  test::TempRoot temp;
  temp.with("folder/file", "x");
  EXPECT_EQ(secret_lines(temp.root(), "nothing").result.error().code, Errc::absent);
  EXPECT_EQ(secret_lines(temp.root(), "folder").result.error().code, Errc::malformed);
}

TEST(SecretLines, AreWipedBeforeTheNextOnesAreRead) {
  test::TempRoot temp;
  const std::string secret = "PrivateKey = " + std::string(43, 'k') + "=";
  // One read takes the first two lines, which fill the buffer, and another one the last.
  temp.with("file", std::string(4096 - secret.size() - 2, '#') + "\n" + secret + "\nlast\n");
  const char* place = nullptr;
  std::string there;
  const auto read = temp.root().read_secret_lines("file", [&](std::string_view line) {
    if (line == secret) place = line.data();
    if (line == "last" && place != nullptr) there.assign(place, secret.size());
  });
  ASSERT_TRUE(read.has_value());
  EXPECT_EQ(there, std::string(secret.size(), '\0'));
}

}  // namespace
}  // namespace wgvitals
