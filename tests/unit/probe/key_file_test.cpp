#include "common/probe/key_file.h"

#include <gmock/gmock.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <string>

#include "common/model/key.h"
#include "tests/support/temp_root.h"

namespace wgvitals::probe {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::StartsWith;

constexpr char text[] = "6EtabScXwQA6E7QxVwNT26ypFGzxUMX4V1aA/rpSAno=";

class KeyFile : public testing::Test {
 protected:
  void SetUp() override { ASSERT_EQ(::chmod(files_.root().full_path("").c_str(), 0755), 0); }

  // A file of this process's user, for nobody else.
  std::string make(const std::string& content, mode_t mode = 0600) {
    auto path = files_.root().full_path("key").string();
    files_.with("key", content);
    EXPECT_EQ(::chmod(path.c_str(), mode), 0);
    return path;
  }

  Result<Done> read(const std::string& path) {
    key_.fill(0xee);
    return read_key_file(path, key_);
  }

  // The error, behind the file's name; nothing else is kept.
  std::string refused(const std::string& path, Errc code) {
    const auto done = read(path);
    if (done) return "taken";
    EXPECT_EQ(done.error().code, code);
    EXPECT_THAT(done.error().where, StartsWith(path));
    EXPECT_THAT(done.error().where, Not(HasSubstr("6Etab")));
    EXPECT_TRUE(std::all_of(key_.begin(), key_.end(), [&](auto byte) {
      return byte == (code == Errc::malformed && touched_ ? 0 : 0xee);
    }));
    return done.error().where.substr(path.size());
  }

  test::TempRoot files_;
  std::array<std::uint8_t, 32> key_{};
  bool touched_ = false;  // the text was looked at
};

TEST_F(KeyFile, ReadsAKey) {
  const auto expected = key_from_base64(text).value();
  for (const auto* end : {"", "\n", "\r\n", " \t\n\n"}) {
    ASSERT_TRUE(read(make(std::string(text) + end))) << end;
    EXPECT_EQ(key_, expected.bytes);
  }
  const auto path = make(text);
  std::filesystem::create_symlink(path, path + "-link");
  EXPECT_TRUE(read(path + "-link"));
  EXPECT_EQ(key_, expected.bytes);
}

TEST_F(KeyFile, ReadsEveryKey) {
  PublicKey key;
  for (int round = 0; round < 8; ++round) {
    for (std::size_t i = 0; i < key.bytes.size(); ++i)
      key.bytes[i] = static_cast<std::uint8_t>(256 - 8 * static_cast<int>(i) + round * 37);
    const auto base64 = to_base64(key);
    ASSERT_TRUE(read(make(std::string(view(base64)) + '\n')));
    EXPECT_EQ(key_, key.bytes);
  }
}

// Each character in each place, and what the reader of public keys makes of it.
TEST_F(KeyFile, DecodesAsPublicKeysAre) {
  for (std::size_t at = 0; at < 44; ++at) {
    for (int c = 0; c < 256; ++c) {
      std::string changed = text;
      changed[at] = static_cast<char>(c);
      const auto expected = key_from_base64(changed);
      ASSERT_EQ(decode_key(changed, key_), expected.has_value()) << at << ' ' << c;
      if (expected) {
        ASSERT_EQ(key_, expected->bytes) << at << ' ' << c;
      }
    }
  }
  for (const auto* other : {"", "=", "6EtabScXwQA6E7QxVwNT26ypFGzxUMX4V1aA/rpSAn=",
                            "6EtabScXwQA6E7QxVwNT26ypFGzxUMX4V1aA/rpSAno=="})
    EXPECT_FALSE(decode_key(other, key_)) << other;
}

TEST_F(KeyFile, ChecksAFileWithMoreInIt) {
  const auto path = make(std::string("[Interface]\nPrivateKey = ") + text + "\n");
  EXPECT_TRUE(check_key_file(path));
  EXPECT_FALSE(read(path));
  ASSERT_EQ(::chmod(path.c_str(), 0644), 0);
  const auto checked = check_key_file(path);
  ASSERT_FALSE(checked);
  EXPECT_EQ(checked.error().code, Errc::denied);
  EXPECT_EQ(checked.error().where, path + ": open to other users: chmod 600 " + path);
  EXPECT_EQ(check_key_file(files_.root().full_path("")).error().code, Errc::malformed);
  EXPECT_EQ(check_key_file(path + "-").error().code, Errc::absent);
}

TEST_F(KeyFile, RefusesWhatIsNoKey) {
  touched_ = true;
  const std::string good = text;
  EXPECT_EQ(refused(make(""), Errc::malformed), ": empty, no key");
  EXPECT_EQ(refused(make(std::string(43, 'A') + "="), Errc::malformed), ": all zeros, no key");
  EXPECT_EQ(refused(make(good + std::string(213, ' ')), Errc::malformed), ": too long for a key");
  EXPECT_EQ(refused(make(good + std::string(100'000, '\n')), Errc::malformed),
            ": too long for a key");
  ASSERT_TRUE(read(make(good + std::string(212, ' '))));
  for (const auto& content :
       {"\n" + good, " " + good, good.substr(1), good.substr(0, 43), good.substr(0, 43) + "A",
        good + "A", good + "\n" + good, good + std::string(1, '\0'),
        good.substr(0, 42) + "p=", "-" + good.substr(1), "_" + good.substr(1), std::string(44, '='),
        good.substr(0, 20) + "\n" + good.substr(21), "key = " + good, std::string("\n"),
        std::string(64, 'a')}) {
    EXPECT_THAT(refused(make(content), Errc::malformed), StartsWith(": no key: 44 characters"))
        << content;
  }
}

TEST_F(KeyFile, RefusesWhatIsNoFile) {
  const auto path = files_.root().full_path("key").string();
  const auto absent = read(path);
  ASSERT_FALSE(absent);
  EXPECT_EQ(absent.error().code, Errc::absent);
  EXPECT_EQ(absent.error().where, path);
  std::filesystem::create_directory(path);
  EXPECT_EQ(refused(path, Errc::malformed), ": not a file");
  std::filesystem::remove(path);
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  EXPECT_EQ(refused(path, Errc::malformed), ": not a file");  // and does not wait for a writer
  EXPECT_EQ(refused("/dev/null", Errc::malformed), ": not a file");
}

// Its group reads it, which others do not: so it is not closed to them without a thought.
constexpr auto to_service =
    "; or, where a service reads it by its group, run this as that service's user: sudo -u USER";

TEST_F(KeyFile, RefusesWhatOthersMayReadOrWrite) {
  constexpr gid_t other = 65'534;
  struct Case {
    mode_t mode;
    gid_t group;
    bool taken;
  };
  const auto own = ::getegid();
  for (const auto& [mode, group, taken] :
       {Case{0600, own, true}, Case{0400, own, true}, Case{0600, other, true},
        Case{0700, other, true}, Case{0640, own, true}, Case{0440, own, true},
        Case{0640, other, false}, Case{0440, other, false}, Case{0660, own, false},
        Case{0620, own, false}, Case{0620, other, false}, Case{0644, own, false},
        Case{0604, own, false}, Case{0602, own, false}, Case{0666, own, false}}) {
    const auto path = make(text, mode);
    ASSERT_EQ(::chown(path.c_str(), ::geteuid(), group), 0);
    const bool for_service = (mode & 077) == 040;
    const auto remedy = refused(path, Errc::denied);
    EXPECT_EQ(remedy,
              taken ? "taken"
                    : ": open to other users: chmod 600 " + path + (for_service ? to_service : ""))
        << std::oct << mode << ' ' << group;
    if (taken) continue;
    ASSERT_EQ(::chmod(path.c_str(), 0600), 0);  // as it said
    EXPECT_TRUE(read(path));
  }
}

// As systemd's LoadCredential= has it: root's, and readable for the service by an entry of its own.
TEST_F(KeyFile, LooksAtAccessControlLists) {
  constexpr std::uint32_t other = 65'534, none = 0xffff'ffff;
  struct Case {
    const char* what;
    unsigned tag, allowed;
    std::uint32_t id;
    bool taken;
  };
  for (const auto& [what, tag, allowed, id, taken] :
       {Case{"this user", ACL_USER, 4, ::geteuid(), true},
        Case{"another user", ACL_USER, 4, other, false},
        Case{"another user, to write", ACL_USER, 2, other, false},
        Case{"another user, to execute", ACL_USER, 1, other, true},
        Case{"the file's group", ACL_GROUP_OBJ, 4, none, false},
        Case{"this group", ACL_GROUP, 4, ::getegid(), true},
        Case{"this group, to write", ACL_GROUP, 6, ::getegid(), false},
        Case{"another group", ACL_GROUP, 4, other, false}}) {
    const auto entry = [&, of = tag, may = allowed, whose = id](unsigned kind) {
      return posix_acl_xattr_entry{static_cast<std::uint16_t>(kind),
                                   static_cast<std::uint16_t>(of == kind ? may : 0u),
                                   of == kind              ? whose
                                   : kind == ACL_GROUP_OBJ ? none
                                                           : other};
    };
    for (const bool masked : {false, true}) {
      const auto path = make(text);
      ASSERT_EQ(::chown(path.c_str(), ::geteuid(), other), 0) << "needs root";
      const struct {
        posix_acl_xattr_header header;
        posix_acl_xattr_entry entries[6];
      } acl{{POSIX_ACL_XATTR_VERSION},
            {{ACL_USER_OBJ, 6, none},
             entry(ACL_USER),
             entry(ACL_GROUP_OBJ),
             entry(ACL_GROUP),
             {ACL_MASK, static_cast<std::uint16_t>(masked ? 0 : 7), none},
             {ACL_OTHER, 0, none}}};
      ASSERT_EQ(::setxattr(path.c_str(), "system.posix_acl_access", &acl, sizeof acl, 0), 0)
          << "needs a file system with access control lists";
      const bool open = !taken && !masked;
      EXPECT_EQ(refused(path, Errc::denied),
                open ? ": open to other users: chmod 600 " + path + (allowed == 4 ? to_service : "")
                     : "taken")
          << what << (masked ? ", masked" : "");
      if (!open) continue;
      ASSERT_EQ(::chmod(path.c_str(), 0600), 0);  // as it said
      EXPECT_TRUE(read(path));
    }
  }
}

TEST_F(KeyFile, RefusesAnotherUsersFile) {
  constexpr uid_t other = 65'534;
  auto path = make(text);
  ASSERT_EQ(::chown(path.c_str(), other, ::getegid()), 0) << "needs root";
  EXPECT_EQ(refused(path, Errc::denied), ": belongs to another user: chown 0 " + path);
  path = make(text, 0644);
  EXPECT_EQ(refused(path, Errc::denied),
            ": belongs to another user: chown 0 " + path + " && chmod 600 " + path);
}

// As a user of no rights, whose group a file of root's may be for.
TEST_F(KeyFile, TakesRootsFileForTheOwnGroup) {
  constexpr uid_t user = 65'534;
  constexpr gid_t group = 65'533;
  const auto path = make(text, 0640);
  const auto as_user = [&](auto what) {
    ASSERT_EQ(::setegid(group), 0);
    ASSERT_EQ(::seteuid(user), 0);
    what();
    ASSERT_EQ(::seteuid(0), 0);
    ASSERT_EQ(::setegid(0), 0);
  };
  ASSERT_EQ(::chown(path.c_str(), 0, group), 0) << "needs root";
  as_user([&] { EXPECT_TRUE(read(path)); });
  ASSERT_EQ(::chmod(path.c_str(), 0644), 0);
  as_user([&] {
    EXPECT_EQ(refused(path, Errc::denied),
              ": open to other users: chown 65534 " + path + " && chmod 600 " + path);
  });
  ASSERT_EQ(::chmod(path.c_str(), 0600), 0);
  as_user([&] { EXPECT_THAT(refused(path, Errc::denied), EndsWith(": chown 65534 " + path)); });
  ASSERT_EQ(::chown(path.c_str(), user, 0), 0);  // as it said
  as_user([&] { EXPECT_TRUE(read(path)); });
}

}  // namespace
}  // namespace wgvitals::probe
