#include <gmock/gmock.h>
#include <sys/fsuid.h>
#include <unistd.h>

#include "common/collect/names.h"
#include "tests/support/gathering.h"
#include "tests/support/kept_report.h"
#include "tests/support/keys.h"
#include "tests/support/temp_root.h"

namespace wgvitals::collect {
namespace {

using test::key_text;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

// For its life this thread may read only what all may: root's power over files ends with its name.
class Unprivileged {
 public:
  Unprivileged() : before_(::setfsuid(65534)) {}
  ~Unprivileged() { ::setfsuid(static_cast<uid_t>(before_)); }
  Unprivileged(const Unprivileged&) = delete;

 private:
  int before_;
};

std::string section(std::uint32_t number, const std::string& comments) {
  return comments + "\n[Peer]\nPublicKey = " + key_text(number) + "\n";
}

class PeerNamesTest : public testing::Test {
 protected:
  // A table with three peers.
  PeerNamesTest() {
    services_.root = files_.root();
    std::filesystem::permissions(path(""), std::filesystem::perms(0755));
    peers_.begin_reading();
    const auto device = peers_.device({});
    for (std::uint32_t number = 1; number <= 3; ++number) {
      bool is_new = false;
      (void)peers_.pair(device, test::key(number), 0, is_new);
    }
  }

  void begin(const std::string& toml = {}) {
    collector_ = peer_names.make(services_.services, test::settings(toml));
  }

  // "name site=berlin", of the n-th peer after a reading.
  std::string read(std::uint32_t number = 1) {
    report_ = {};
    collector_->read(devices_, report_);
    collector_->advance({}, devices_, peers_, events_);
    return labels_of(number);
  }
  std::string labels_of(std::uint32_t number) const {
    std::string text;
    const auto labels = peers_.labels(number - 1);
    for (const auto& label : std::span<const Label>(labels)) {
      if (label.name == &public_key_label || label.name == &device_label) continue;
      if (!text.empty()) text += ' ';
      if (label.name != &friendly_name_label) (text += label.name->tag.view()) += '=';
      text += label.value;
    }
    return text;
  }
  std::filesystem::path path(const char* below) const { return files_.root().full_path(below); }

  test::TempRoot files_;
  test::TestServices services_;
  std::unique_ptr<Collector> collector_;
  Devices devices_;
  Peers peers_;
  Events events_;
  test::KeptReport report_;
};

TEST_F(PeerNamesTest, KnowsNoNamesWhereNothingIsSaid) {
  begin();
  EXPECT_EQ(read(), "");
  EXPECT_THAT(report_.texts, IsEmpty());
}

TEST_F(PeerNamesTest, TakesNamesAndLabelsFromConfiguration) {
  begin("[inputs.wgvitals.names]\n\"" + key_text(1) +
        "\" = \"laptop\"\n[inputs.wgvitals.labels.\"" + key_text(1) +
        "\"]\nsite = \"berlin\"\nfloor = \"3\"");
  EXPECT_EQ(read(1), "laptop floor=3 site=berlin");
  EXPECT_EQ(labels_of(2), "");
}

TEST_F(PeerNamesTest, TakesNamesFromEveryKindOfFile) {
  files_.with("etc/wireguard/wg0.conf", section(1, "# friendly_name = one"));
  files_.with("etc/systemd/network/wg1.netdev",
              "# Name = two\n[WireGuardPeer]\nPublicKey = " + key_text(2) + "\n");
  files_.with("var/lib/wgvitals/names.toml", "[names]\n\"" + key_text(3) + "\" = \"three\"\n");
  begin();
  EXPECT_EQ(read(1), "one");
  EXPECT_EQ(labels_of(2), "two");
  EXPECT_EQ(labels_of(3), "three");
}

TEST_F(PeerNamesTest, LetsConfigurationGoBeforeFiles) {
  files_.with("etc/wireguard/wg0.conf",
              section(1, "# Name = file\n# friendly_json = {\"site\": \"file\", \"floor\": 1}"));
  begin("[inputs.wgvitals.names]\n\"" + key_text(1) +
        "\" = \"config\"\n[inputs.wgvitals.labels.\"" + key_text(1) + "\"]\nsite = \"config\"");
  EXPECT_EQ(read(), "config floor=1 site=config");
}

TEST_F(PeerNamesTest, ReadsAFileAgainWhenItChanged) {
  files_.with("etc/wireguard/wg0.conf", section(1, "# Name = old"));
  begin();
  EXPECT_EQ(read(), "old");
  files_.with("etc/wireguard/wg0.conf", section(1, "# Name = newer"));
  EXPECT_EQ(read(), "newer");
  files_.with("etc/wireguard/wg0.conf", section(1, "# nothing is said any more"));
  EXPECT_EQ(read(), "");
}

TEST_F(PeerNamesTest, KeepsTheLastGoodNamesOfAFileThatIsBroken) {
  files_.with("var/lib/wgvitals/names.toml", "[names]\n\"" + key_text(1) + "\" = \"good\"\n");
  begin();
  EXPECT_EQ(read(), "good");
  files_.with("var/lib/wgvitals/names.toml", "[names\n");
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(read(), "good");
    EXPECT_THAT(report_.texts, ElementsAre(HasSubstr("names.toml:1: not TOML")));
  }
  files_.with("var/lib/wgvitals/names.toml", "[names]\n\"" + key_text(1) + "\" = \"better\"\n");
  EXPECT_EQ(read(), "better");
  EXPECT_THAT(report_.texts, IsEmpty());
}

TEST_F(PeerNamesTest, KeepsTheLastGoodNamesOfAFileThatMayNotBeRead) {
  files_.with("etc/wireguard/wg0.conf", section(1, "# Name = good"));
  begin();
  EXPECT_EQ(read(), "good");
  std::filesystem::permissions(path("etc/wireguard/wg0.conf"), std::filesystem::perms::none);
  {
    const Unprivileged now;
    EXPECT_EQ(read(), "good");
    EXPECT_THAT(report_.codes, ElementsAre(Errc::denied));
  }
  std::filesystem::permissions(path("etc/wireguard/wg0.conf"), std::filesystem::perms(0600));
  EXPECT_EQ(read(), "good");
  EXPECT_THAT(report_.codes, IsEmpty());
}

TEST_F(PeerNamesTest, KeepsTheNamesOfAFileThatIsGoneUntilAnotherSaysOtherwise) {
  files_.with("etc/wireguard/wg0.conf", section(1, "# Name = old"));
  begin();
  EXPECT_EQ(read(), "old");
  std::filesystem::remove(path("etc/wireguard/wg0.conf"));
  EXPECT_EQ(read(), "old");
  EXPECT_THAT(report_.texts, IsEmpty());
  files_.with("etc/wireguard/wg9.conf", section(1, "# Name = moved"));
  EXPECT_EQ(read(), "moved");
}

TEST_F(PeerNamesTest, SaysWhatIsWrongInAFileOnlyWhileItIsThere) {
  files_.with("etc/wireguard/wg0.conf", section(1, "# Name = one\n# friendly_json = no"));
  begin();
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(read(), "one");
    EXPECT_THAT(report_.texts, ElementsAre(HasSubstr("wg0.conf: line 2: friendly_json: not a")));
  }
  std::filesystem::remove(path("etc/wireguard/wg0.conf"));
  EXPECT_EQ(read(), "one");
  EXPECT_THAT(report_.texts, IsEmpty());
}

TEST_F(PeerNamesTest, ReportsFilesThatMayNotBeRead) {
  files_.with("etc/wireguard/wg0.conf", section(1, "# Name = one"));
  std::filesystem::permissions(path("etc/wireguard/wg0.conf"), std::filesystem::perms::none);
  begin();
  const Unprivileged now;
  EXPECT_EQ(read(), "");
  EXPECT_THAT(report_.codes, ElementsAre(Errc::denied));
}

TEST_F(PeerNamesTest, DoesNotAskForTheOriginalsWhereAnExportIs) {
  files_.with("var/lib/wgvitals/names.toml", "[names]\n\"" + key_text(1) + "\" = \"exported\"\n");
  files_.with("etc/wireguard/wg0.conf", section(1, "# Name = one"));
  std::filesystem::permissions(path("etc/wireguard"), std::filesystem::perms::none);
  begin();
  {
    const Unprivileged now;
    EXPECT_EQ(read(), "exported");
    EXPECT_THAT(report_.texts, IsEmpty());
  }
  std::filesystem::permissions(path("etc/wireguard"), std::filesystem::perms::all);
}

TEST_F(PeerNamesTest, RefusesWhatIsNoKeyAndLabelsThatMayNotBe) {
  begin("[inputs.wgvitals.names]\n\"nonsense\" = \"laptop\"\n[inputs.wgvitals.labels.\"" +
        key_text(1) + "\"]\nhost = \"a\"\nsite = \"b\"");
  EXPECT_EQ(read(), "site=b");
  EXPECT_THAT(report_.texts,
              ElementsAre(HasSubstr("names: 'nonsense' is no public key"),
                          HasSubstr("labels: label 'host': the name is taken by the databases")));
}

TEST_F(PeerNamesTest, RefusesLabelsOfCommentsLikewise) {
  files_.with("etc/wireguard/wg0.conf",
              section(1, "# friendly_json = {\"rx_bytes\": 1, \"site\": \"b\", \"a-b\": 2}"));
  begin();
  EXPECT_EQ(read(), "site=b");
  EXPECT_THAT(report_.texts,
              ElementsAre(HasSubstr("label 'a-b': a name has letters"),
                          HasSubstr("label 'rx_bytes': the name is one of wgvitals' own")));
}

TEST_F(PeerNamesTest, KnowsWhoMayBeAway) {
  begin("[inputs.wgvitals.expect]\n\"" + key_text(1) + "\" = \"sometimes\"\n\"" + key_text(2) +
        "\" = \"always\"\n\"" + key_text(3) + "\" = \"never\"\n\"short\" = \"sometimes\"\n" +
        "[inputs.wgvitals.labels.\"" + key_text(2) + "\"]\nexpect = \"sometimes\"\n" +
        "[inputs.wgvitals.labels.\"" + key_text(3) + "\"]\nexpect = \"sometimes\"\n");
  (void)read();
  EXPECT_TRUE(peers_.row(0).sometimes_away);
  EXPECT_FALSE(peers_.row(1).sometimes_away);
  EXPECT_TRUE(peers_.row(2).sometimes_away);
  EXPECT_THAT(report_.texts, UnorderedElementsAre(HasSubstr("'never' is neither"),
                                                  HasSubstr("'short' is no public key")));
}

TEST_F(PeerNamesTest, MakesEqualNamesDistinct) {
  begin("[inputs.wgvitals.names]\n\"" + key_text(1) + "\" = \"laptop\"\n\"" + key_text(2) +
        "\" = \"laptop\"");
  const auto first = read(1);
  EXPECT_THAT(first, testing::StartsWith("laptop~"));
  EXPECT_THAT(labels_of(2), testing::StartsWith("laptop~"));
  EXPECT_NE(first, labels_of(2));
}

TEST(RefuseLabel, SaysWhyANameCannotBe) {
  struct Case {
    const char* name;
    const char* why;  // nothing: it can
  };
  for (const auto& [name, why] : {Case{"site", ""},
                                  Case{"tenant_2", ""},
                                  Case{"Site", ""},
                                  Case{"", "letters"},
                                  Case{"a b", "letters"},
                                  Case{"ort-stra\xc3\x9f"
                                       "e",
                                       "letters"},
                                  Case{"_site", "may not begin"},
                                  Case{"2nd", "may not begin"},
                                  Case{"time", "databases"},
                                  Case{"host", "databases"},
                                  Case{"le", "databases"},
                                  Case{"instance", "databases"},
                                  Case{"job", "databases"},
                                  Case{"device", "own tags"},
                                  Case{"public_key", "own tags"},
                                  Case{"friendly_name", "own tags"},
                                  Case{"interface", "own tags"},
                                  Case{"netns", "own tags"},
                                  Case{"event", "own tags"},
                                  Case{"collector", "own tags"},
                                  Case{"rx_bytes", "own tags"},
                                  Case{"endpoint", "own tags"},
                                  Case{"message", "own tags"},
                                  Case{"version", "own tags"}}) {
    const auto refusal = refuse_label(name);
    if (*why == '\0') {
      EXPECT_EQ(refusal, "") << name;
    } else {
      EXPECT_THAT(refusal, HasSubstr(why)) << name;
    }
  }
}

TEST(ReadOriginalNames, LeavesOutWhatWasExportedBefore) {
  test::TempRoot files;
  files.with("etc/wireguard/wg0.conf", section(1, "# Name = one"));
  files.with("var/lib/wgvitals/names.toml", "[names]\n\"" + key_text(2) + "\" = \"gone\"\n");
  test::KeptReport report;
  const auto names = read_original_names(
      files.root(), test::settings("[inputs.wgvitals.names]\n\"" + key_text(3) + "\" = \"three\""),
      report);
  ASSERT_EQ(names.size(), 2u);
  EXPECT_EQ(names.at(key_text(1)).friendly_name, "one");
  EXPECT_EQ(names.at(key_text(3)).friendly_name, "three");
  EXPECT_THAT(report.texts, IsEmpty());
}

}  // namespace
}  // namespace wgvitals::collect
