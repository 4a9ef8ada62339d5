#include "common/probe/timestamps.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/keys.h"
#include "tests/support/temp_root.h"

namespace wgvitals::probe {
namespace {

using test::key;
using testing::HasSubstr;
using testing::StartsWith;

constexpr std::int64_t now = 1'795'210'380'000'000'000;
constexpr std::int64_t second = 1'000'000'000;
constexpr uid_t nobody = 65'534;

class TimestampsTest : public testing::Test {
 protected:
  std::filesystem::path folder() const { return files_.root().full_path(""); }
  std::filesystem::path file() const {
    return folder() / "timestamp-AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
  }
  std::string content() const {
    std::ifstream in(file());
    return {std::istreambuf_iterator<char>(in), {}};
  }
  void write(const std::string& text) const { std::ofstream(file()) << text; }
  Timestamps make() const { return {folder(), key_}; }

  const PublicKey key_ = [] {
    PublicKey one;
    one.bytes[0] = 1;
    return one;
  }();
  test::TempRoot files_;
};

TEST_F(TimestampsTest, KeepAwayFromThoseOfAnotherProcess) {
  constexpr auto gap = Timestamps::least_gap_ns;
  constexpr std::int64_t ms = 1'000'000;
  auto stamps = make();
  EXPECT_EQ(stamps.next(now).wait_ns, 0);
  EXPECT_EQ(stamps.next(now + ms).wait_ns, 0);  // one's own
  auto others = make();
  auto reserved = others.next(now + 4 * ms);
  EXPECT_EQ(reserved.wall_ns, now + ms + gap);
  EXPECT_EQ(reserved.wait_ns, gap - 3 * ms);
  EXPECT_EQ(reserved.ahead_ns, 0);  // not when it is sent
  EXPECT_EQ(content(), std::to_string(now + ms + gap) + "\n");
  EXPECT_EQ(others.next(now + 5 * ms).wait_ns, 0);
  reserved = stamps.next(now + 6 * ms);  // behind the other's reservation
  EXPECT_EQ(reserved.wall_ns, now + ms + 2 * gap + 1);
  EXPECT_EQ(reserved.wait_ns, 2 * gap - 5 * ms + 1);
  EXPECT_EQ(others.next(now + ms + 3 * gap + 1).wait_ns, 0);  // long enough
  // On purpose ahead: the stamp is, the time to wait is not.
  reserved = stamps.next(now + ms + 3 * gap + 2, 60 * second);
  EXPECT_EQ(reserved.wall_ns, now + ms + 3 * gap + 2 + 60 * second);
  EXPECT_EQ(reserved.wait_ns, gap - 1);
}

TEST_F(TimestampsTest, DoNotWaitBehindWhatIsFarAhead) {
  constexpr auto gap = Timestamps::least_gap_ns;
  struct Case {
    std::int64_t ahead;
    bool waits;
  };
  for (const auto& [ahead, waits] :
       {Case{-gap, false}, Case{1 - gap, true}, Case{0, true}, Case{10 * gap, true},
        Case{10 * gap + 1, false}, Case{3600 * second, false}}) {
    std::filesystem::remove(file());
    EXPECT_EQ(make().next(now + ahead).wall_ns, now + ahead);
    const auto stamp = make().next(now);
    EXPECT_EQ(stamp.wait_ns, waits ? ahead + gap : 0) << ahead;
    EXPECT_EQ(stamp.ahead_ns, waits || ahead < 0 ? 0 : ahead + 1) << ahead;
    EXPECT_EQ(stamp.wall_ns, waits ? now + ahead + gap : ahead < 0 ? now : now + ahead + 1);
  }
}

TEST_F(TimestampsTest, AreTheClocksWhereThatGoesOn) {
  auto stamps = make();
  EXPECT_TRUE(stamps.was_new());
  for (const std::int64_t at : {now, now + 1, now + second}) {
    const auto stamp = stamps.next(at);
    EXPECT_EQ(stamp.wall_ns, at);
    EXPECT_EQ(stamp.ahead_ns, 0);
    EXPECT_EQ(content(), std::to_string(at) + "\n");
  }
  struct stat status {};
  ASSERT_EQ(::stat(file().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0600u);
  EXPECT_FALSE(stamps.trouble());
}

TEST_F(TimestampsTest, NeverGoBackInAProcess) {
  for (const bool kept : {true, false}) {
    Timestamps stamps(kept ? std::optional(folder()) : std::nullopt, key_);
    EXPECT_EQ(stamps.next(now).wall_ns, now);
    EXPECT_EQ(stamps.next(now).wall_ns, now + 1);
    EXPECT_EQ(stamps.next(now).ahead_ns, 2);
    const auto back = stamps.next(now - 5 * second);
    EXPECT_EQ(back.wall_ns, now + 3);
    EXPECT_EQ(back.ahead_ns, 5 * second + 3);
    EXPECT_EQ(stamps.next(now + 1 * second).wall_ns, now + second);
    EXPECT_FALSE(stamps.trouble());
  }
}

TEST_F(TimestampsTest, NeverGoBackOverARestart) {
  EXPECT_EQ(make().next(now).wall_ns, now);
  auto stamps = make();
  EXPECT_FALSE(stamps.was_new());
  const auto back = stamps.next(now - 3600 * second);
  EXPECT_EQ(back.wall_ns, now + 1);
  EXPECT_EQ(back.ahead_ns, 3600 * second + 1);
  EXPECT_EQ(content(), std::to_string(now + 1) + "\n");
}

TEST_F(TimestampsTest, EachKeyHasItsOwn) {
  EXPECT_EQ(make().next(now).wall_ns, now);
  Timestamps other(folder(), key(2));
  EXPECT_TRUE(other.was_new());
  EXPECT_EQ(other.next(now - second).wall_ns, now - second);
}

TEST_F(TimestampsTest, GoAheadOnPurpose) {
  auto stamps = make();
  const auto ahead = stamps.next(now, 60 * second);
  EXPECT_EQ(ahead.wall_ns, now + 60 * second);
  EXPECT_EQ(ahead.ahead_ns, 0);  // nothing forced it
  // Each is only as far ahead as was asked for, or as the one before was.
  const auto more = stamps.next(now + second, 60 * second);
  EXPECT_EQ(more.wall_ns, now + 61 * second);
  EXPECT_EQ(more.ahead_ns, 0);
  const auto after = make().next(now + 2 * second);
  EXPECT_EQ(after.wall_ns, now + 61 * second + 1);
  EXPECT_EQ(after.ahead_ns, 59 * second + 1);
}

TEST_F(TimestampsTest, ThoseOfTwoHoldersDiffer) {
  auto first = make();
  auto other = make();
  EXPECT_EQ(first.next(now).wall_ns, now);
  EXPECT_GT(other.next(now).wall_ns, now);
  EXPECT_GT(first.next(now).wall_ns, now + Timestamps::least_gap_ns);
}

TEST_F(TimestampsTest, RespectTheFarthestFuture) {
  write("9223372036854775806\n");
  auto stamps = make();
  EXPECT_EQ(stamps.next(now).wall_ns, INT64_MAX);
  EXPECT_EQ(stamps.next(now).ahead_ns, INT64_MAX - now);
  EXPECT_EQ(stamps.next(now, INT64_MAX).wall_ns, INT64_MAX);
}

TEST_F(TimestampsTest, AHandMayWriteTheFile) {
  write("1000000007\n");
  EXPECT_EQ(make().next(5).wall_ns, 1'000'000'008);
  EXPECT_EQ(content(), "0000000001000000008\n");
  EXPECT_EQ(make().next(5).wall_ns, 1'000'000'009);
}

TEST_F(TimestampsTest, AnEmptyFileKnowsNothing) {
  write("");
  auto stamps = make();
  EXPECT_TRUE(stamps.was_new());
  EXPECT_FALSE(stamps.trouble());
  EXPECT_EQ(stamps.next(now).wall_ns, now);
}

TEST_F(TimestampsTest, GarbageIsToldAndReplaced) {
  for (const auto& text :
       {std::string("garbage\n"), std::string("1795210380000000000"), std::string("-5\n"),
        std::string("17952103800000000000\n"), std::string(20, '\0'), std::string(5000, '7'),
        std::string("\n"), std::string("1795210380000000000 \n"), std::string("\xff\xfe\n1\n")}) {
    write(text);
    auto stamps = make();
    EXPECT_TRUE(stamps.was_new()) << text;
    ASSERT_TRUE(stamps.trouble()) << text;
    EXPECT_EQ(stamps.trouble()->code, Errc::malformed);
    EXPECT_THAT(stamps.trouble()->where, StartsWith(file().string() + ": held no timestamp"));
    EXPECT_EQ(stamps.next(now).wall_ns, now);
    EXPECT_TRUE(stamps.trouble());
    EXPECT_EQ(content(), std::to_string(now) + "\n") << text;
    EXPECT_EQ(stamps.next(now).wall_ns, now + 1);
    EXPECT_FALSE(stamps.trouble());
    // While it is used: what this process knows holds.
    write(text);
    EXPECT_EQ(stamps.next(now).wall_ns, now + 2);
    EXPECT_TRUE(stamps.trouble());
  }
}

TEST_F(TimestampsTest, AFileThatWentIsMadeAnew) {
  auto stamps = make();
  EXPECT_EQ(stamps.next(now).wall_ns, now);
  std::filesystem::remove(file());
  EXPECT_EQ(stamps.next(now).wall_ns, now + 1);
  EXPECT_EQ(content(), std::to_string(now + 1) + "\n");
  std::filesystem::remove(file());
  write(std::to_string(now + second) + "\n");  // replaced
  EXPECT_EQ(stamps.next(now).wall_ns, now + second + 1);
  EXPECT_EQ(content(), std::to_string(now + second + 1) + "\n");
  write("5\n");  // put back
  EXPECT_EQ(stamps.next(now).wall_ns, now + second + 2);
  std::filesystem::remove_all(folder());
  EXPECT_EQ(stamps.next(now).wall_ns, now + second + 3);
  EXPECT_TRUE(stamps.trouble());
  std::filesystem::create_directory(folder());
  EXPECT_EQ(stamps.next(now).wall_ns, now + second + 4);
  EXPECT_FALSE(stamps.trouble());
  EXPECT_EQ(content(), std::to_string(now + second + 4) + "\n");
}

TEST_F(TimestampsTest, GoOnWithoutAFileThatCannotBeUsed) {
  const auto check = [&](Errc code, const std::string& why) {
    auto stamps = make();
    EXPECT_TRUE(stamps.was_new()) << why;
    EXPECT_EQ(stamps.next(now).wall_ns, now);
    EXPECT_EQ(stamps.next(now).wall_ns, now + 1);
    ASSERT_TRUE(stamps.trouble()) << why;
    EXPECT_EQ(stamps.trouble()->code, code) << why;
    EXPECT_THAT(stamps.trouble()->where, StartsWith(file().string() + ": "));
    EXPECT_THAT(to_text(*stamps.trouble()), HasSubstr(why));
  };
  std::filesystem::create_directory(file());
  check(Errc::io, "Is a directory");
  std::filesystem::remove(file());
  std::filesystem::create_symlink("/dev/null", file());
  check(Errc::io, "symbolic links");
  std::filesystem::remove(file());
  ASSERT_EQ(::mkfifo(file().c_str(), 0600), 0);
  check(Errc::malformed, "not a file, or one of several names: rm ");
  std::filesystem::remove(file());
  write("1\n");
  std::filesystem::create_hard_link(file(), folder() / "another");
  check(Errc::malformed, "not a file, or one of several names: rm ");
  std::filesystem::remove(folder() / "another");
  EXPECT_EQ(content(), "1\n");
  ASSERT_EQ(::chmod(folder().c_str(), 0755), 0);
  ASSERT_EQ(::seteuid(nobody), 0) << "needs root";
  check(Errc::denied, "not kept over a restart: chown 65534 " + file().string());
  ASSERT_EQ(::seteuid(0), 0);
  std::filesystem::remove_all(folder());
  check(Errc::io, "No such file");
}

TEST_F(TimestampsTest, AFullDiskIsTold) {
  auto stamps = make();
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto limited = [&](rlim_t bytes) {
    auto limit = before;
    limit.rlim_cur = bytes;
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &limit), 0);
  };
  auto* const handler = std::signal(SIGXFSZ, SIG_IGN);
  for (const rlim_t room : {rlim_t{0}, rlim_t{7}}) {
    limited(room);
    const auto stamp = stamps.next(now);
    limited(before.rlim_cur);
    EXPECT_GE(stamp.wall_ns, now);
    ASSERT_TRUE(stamps.trouble()) << room;
    EXPECT_EQ(stamps.trouble()->code, Errc::io);
  }
  std::signal(SIGXFSZ, handler);
  EXPECT_EQ(stamps.next(now).wall_ns, now + 2);  // half a line was there: told again, and mended
  EXPECT_TRUE(stamps.trouble());
  EXPECT_EQ(stamps.next(now).wall_ns, now + 3);
  EXPECT_FALSE(stamps.trouble());
  EXPECT_EQ(content(), std::to_string(now + 3) + "\n");
}

TEST_F(TimestampsTest, WaitOnlyOnceForALockThatStays) {
  auto stamps = make();
  const Fd other(::open(file().c_str(), O_RDWR | O_CLOEXEC));
  ASSERT_EQ(::flock(other.get(), LOCK_EX), 0);
  const auto took = [&] {
    const auto start = std::chrono::steady_clock::now();
    EXPECT_GE(stamps.next(now).wall_ns, now);
    return std::chrono::steady_clock::now() - start;
  };
  EXPECT_GE(took(), std::chrono::seconds(1));
  EXPECT_EQ(stamps.trouble().value().code, Errc::timed_out);
  EXPECT_LT(took(), std::chrono::milliseconds(900));
  EXPECT_EQ(stamps.trouble().value().code, Errc::timed_out);
  EXPECT_EQ(content(), "");
  ASSERT_EQ(::flock(other.get(), LOCK_UN), 0);
  EXPECT_EQ(stamps.next(now).wall_ns, now + 2);
  EXPECT_FALSE(stamps.trouble());
  EXPECT_EQ(content(), std::to_string(now + 2) + "\n");
}

// What root makes in the folder of a service is the service's.
TEST_F(TimestampsTest, BelongToTheFoldersOwner) {
  ASSERT_EQ(::chown(folder().c_str(), nobody, nobody), 0) << "needs root";
  EXPECT_EQ(make().next(now).wall_ns, now);
  struct stat status {};
  ASSERT_EQ(::stat(file().c_str(), &status), 0);
  EXPECT_EQ(status.st_uid, nobody);
  ASSERT_EQ(::seteuid(nobody), 0);
  auto stamps = make();
  EXPECT_FALSE(stamps.was_new());
  EXPECT_EQ(stamps.next(now + second).wall_ns, now + second);
  EXPECT_FALSE(stamps.trouble());
  ASSERT_EQ(::seteuid(0), 0);
}

// Processes that share a key, all with the same time on their clocks.
TEST_F(TimestampsTest, NoTwoProcessesUseTheSame) {
  constexpr std::size_t processes = 4, count = 2000;
  std::array<int, 2> pipe_ends{};
  ASSERT_EQ(::pipe2(pipe_ends.data(), O_CLOEXEC), 0);
  const Fd in(pipe_ends[0]);
  Fd out(pipe_ends[1]);
  std::vector<pid_t> children;
  for (std::size_t i = 0; i < processes; ++i) {
    const auto child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      auto stamps = make();
      std::array<std::int64_t, 2> told{static_cast<std::int64_t>(i), 0};
      bool sound = true;
      for (std::size_t round = 0; round < count; ++round) {
        told[1] = stamps.next(now).wall_ns;
        sound = sound && !stamps.trouble() &&
                ::write(out.get(), told.data(), sizeof told) == sizeof told;
      }
      ::_exit(sound ? 0 : 1);
    }
    children.push_back(child);
  }
  out = Fd();
  std::array<std::int64_t, processes> last{};
  std::vector<std::int64_t> all;
  std::array<std::int64_t, 2> told{};
  while (::read(in.get(), told.data(), sizeof told) == sizeof told) {
    auto& before = last.at(static_cast<std::size_t>(told[0]));
    EXPECT_GT(told[1], before);
    before = told[1];
    all.push_back(told[1]);
  }
  for (const auto child : children) {
    int status = 0;
    EXPECT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
  }
  ASSERT_EQ(all.size(), processes * count);
  std::sort(all.begin(), all.end());
  EXPECT_EQ(std::adjacent_find(all.begin(), all.end()), all.end());
  EXPECT_LT(all.back(), now + 12 * Timestamps::least_gap_ns);  // nothing piles up
  EXPECT_EQ(content(), std::to_string(all.back()) + "\n");
}

TEST_F(TimestampsTest, NoTwoThreadsGetTheSame) {
  constexpr std::size_t threads = 4, count = 2000;
  auto stamps = make();
  std::array<std::vector<std::int64_t>, threads> told;
  {
    std::vector<std::jthread> running;
    running.reserve(threads);
    for (auto& mine : told) {
      running.emplace_back([&] {
        for (std::size_t round = 0; round < count; ++round) {
          mine.push_back(stamps.next(now).wall_ns);
          EXPECT_FALSE(stamps.trouble());
        }
      });
    }
  }
  std::vector<std::int64_t> all;
  for (const auto& mine : told) {
    EXPECT_TRUE(std::is_sorted(mine.begin(), mine.end()));
    all.insert(all.end(), mine.begin(), mine.end());
  }
  std::sort(all.begin(), all.end());
  EXPECT_EQ(std::adjacent_find(all.begin(), all.end()), all.end());
  EXPECT_EQ(all.back(), now + static_cast<std::int64_t>(all.size()) - 1);
}

// As a user whom the test's own folders belong to; the environment's are put back.
class StateFolder : public testing::Test {
 protected:
  void SetUp() override {
    for (const auto* name : names) {
      const char* value = std::getenv(name);
      before_.push_back(value != nullptr ? std::optional<std::string>(value) : std::nullopt);
      ::unsetenv(name);
    }
    files_.with("var/lib/x", "").with("home/x", "").with("state/x", "").with("systemd/x", "");
    for (const auto* path : {"", "home", "state", "systemd"})
      ASSERT_EQ(::chown(at(path).c_str(), nobody, nobody), 0) << "needs root";
    ASSERT_EQ(::seteuid(nobody), 0);
  }
  void TearDown() override {
    EXPECT_EQ(::seteuid(0), 0);
    for (std::size_t i = 0; i < names.size(); ++i) {
      if (before_[i]) {
        ::setenv(names[i], before_[i]->c_str(), 1);
      } else {
        ::unsetenv(names[i]);
      }
    }
  }

  std::string at(const char* path) const { return files_.root().full_path(path); }
  std::string find() const {
    const auto found = find_state_folder(files_.root());
    return found ? found->string() : "none: " + found.error().where;
  }

  static constexpr std::array names{"STATE_DIRECTORY", "XDG_STATE_HOME", "HOME"};
  test::TempRoot files_;
  std::vector<std::optional<std::string>> before_;
};

TEST_F(StateFolder, IsSystemdsFirst) {
  ::setenv("STATE_DIRECTORY", (at("systemd") + ":/nowhere").c_str(), 1);
  ::setenv("HOME", at("home").c_str(), 1);
  EXPECT_EQ(find(), at("systemd"));
  EXPECT_FALSE(std::filesystem::exists(at("home/.local")));
}

TEST_F(StateFolder, IsThePackagesWhereThatCanBeWritten) {
  ::setenv("HOME", at("home").c_str(), 1);
  ASSERT_EQ(::seteuid(0), 0);
  ASSERT_EQ(::mkdir(at("var/lib/wgvitals").c_str(), 0755), 0);
  ASSERT_EQ(::seteuid(nobody), 0);
  EXPECT_EQ(find(), at("home/.local/state/wgvitals"));  // another's
  ASSERT_EQ(::seteuid(0), 0);
  ASSERT_EQ(::chown(at("var/lib/wgvitals").c_str(), nobody, nobody), 0);
  ASSERT_EQ(::seteuid(nobody), 0);
  EXPECT_EQ(find(), at("var/lib/wgvitals"));
}

TEST_F(StateFolder, IsMadeForItsUserOnly) {
  ::setenv("HOME", at("home").c_str(), 1);
  ::setenv("XDG_STATE_HOME", at("state").c_str(), 1);
  EXPECT_EQ(find(), at("state/wgvitals"));
  EXPECT_FALSE(std::filesystem::exists(at("var/lib/wgvitals")));
  ::setenv("XDG_STATE_HOME", at("state/not/there").c_str(), 1);
  EXPECT_THAT(find(), StartsWith("none: "));
  ::setenv("XDG_STATE_HOME", "relative", 1);
  EXPECT_EQ(find(), at("home/.local/state/wgvitals"));
  for (const auto* path :
       {"state/wgvitals", "home/.local", "home/.local/state", "home/.local/state/wgvitals"}) {
    struct stat status {};
    ASSERT_EQ(::stat(at(path).c_str(), &status), 0) << path;
    EXPECT_EQ(status.st_mode & 07777, 0700u) << path;
    EXPECT_EQ(status.st_uid, nobody) << path;
  }
  ASSERT_EQ(::seteuid(0), 0);
  EXPECT_EQ(find(), at("var/lib/wgvitals"));  // who may write there makes it
}

TEST_F(StateFolder, ThatIsNoneNamesThemAll) {
  ::setenv("STATE_DIRECTORY", at("var/lib").c_str(), 1);
  ::setenv("HOME", at("home/x").c_str(), 1);  // a file
  EXPECT_THAT(find(), AllOf(StartsWith("none: "), HasSubstr(at("var/lib") + ", "),
                            HasSubstr(at("var/lib/wgvitals") + ", "),
                            HasSubstr(at("home/x/.local/state/wgvitals")),
                            HasSubstr("install -d -m 700 -o 65534 /var/lib/wgvitals-probe")));
  EXPECT_EQ(find_state_folder(files_.root()).error().code, Errc::denied);
  ASSERT_EQ(::seteuid(0), 0);
  ASSERT_EQ(::chmod(at("systemd/x").c_str(), 0777), 0);
  ASSERT_EQ(::seteuid(nobody), 0);
  ::setenv("STATE_DIRECTORY", at("systemd/x").c_str(), 1);
  EXPECT_THAT(find(), StartsWith("none: "));
}

}  // namespace
}  // namespace wgvitals::probe
