#include "common/kernel/wgquick.h"

#include <gmock/gmock.h>

#include "tests/support/keys.h"
#include "tests/support/temp_root.h"

namespace wgvitals::kernel {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

const std::string key1 = test::key_text(1);
const std::string key2 = test::key_text(2);

// "@number name label=value", a line for each peer; each @1 and @2 stands for a key.
std::string parse(std::string text, std::vector<std::string>* problems = nullptr) {
  for (const auto& [mark, key] : {std::pair{"@1", key1}, std::pair{"@2", key2}}) {
    for (auto at = text.find(mark); at != std::string::npos;
         at = text.find(mark, at + key.size())) {
      text.replace(at, 2, key);  // which may have the mark inside
    }
  }
  NameParser parser;
  for (std::string_view rest = text; !rest.empty();) {
    const auto line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
    parser.take(line);
  }
  const auto names = parser.finish();
  if (problems != nullptr) *problems = parser.problems();
  std::string words;
  for (const auto& [key, peer] : names) {
    words += key == key1 ? "@1 " : key == key2 ? "@2 " : key + " ";
    words += "'" + peer.friendly_name + "'";
    for (const auto& [name, value] : peer.labels) words += " " + name + "=" + value;
    words += '\n';
  }
  return words;
}

TEST(NameParser, FindsTheNameWhereverTheCommentStands) {
  struct Case {
    const char* where;
    const char* text;
  };
  for (const auto& [where, text] : {
           Case{"above", "# friendly_name = laptop\n[Peer]\nPublicKey = @1\n"},
           Case{"above, with a blank line", "# friendly_name = laptop\n\n[Peer]\nPublicKey = @1\n"},
           Case{"inside, before the key", "[Peer]\n# friendly_name = laptop\nPublicKey = @1\n"},
           Case{"inside, behind the key", "[Peer]\nPublicKey = @1\n# friendly_name = laptop\n"},
           Case{"inside, in the middle",
                "[Peer]\nPublicKey = @1\n# friendly_name=laptop\nAllowedIPs = 10.0.0.1\n"},
           Case{"as a name", "# Name = laptop\n[Peer]\nPublicKey = @1\n"},
           Case{"without blanks", "#friendly_name=laptop\n[Peer]\nPublicKey=@1\n"},
           Case{"with another comment mark", "; friendly_name = laptop\n[Peer]\nPublicKey = @1\n"},
           Case{"in other cases", "# FRIENDLY_NAME = laptop\n[PEER]\nPUBLICKEY = @1\n"},
           Case{"with a comment behind the key",
                "# Name = laptop\n[Peer]\nPublicKey = @1 # mine\n"},
           Case{"indented", "  # Name = laptop\n  [Peer]  \n\tPublicKey = @1\n"},
           Case{"with Windows' line ends", "# Name = laptop\r\n[Peer]\r\nPublicKey = @1\r\n"},
           Case{"without a last line end", "[Peer]\nPublicKey = @1\n# Name = laptop"},
           Case{"in JSON",
                "# friendly_json = {\"friendly_name\": \"laptop\"}\n[Peer]\nPublicKey = @1"},
           Case{"for systemd-networkd", "# Name = laptop\n[WireGuardPeer]\nPublicKey = @1\n"},
       }) {
    EXPECT_EQ(parse(text), "@1 'laptop'\n") << where;
  }
}

TEST(NameParser, GivesEachPeerItsOwnComments) {
  EXPECT_EQ(parse("# Name = server\n[Interface]\nPrivateKey = @2\n\n"
                  "# Name = one\n[Peer]\nPublicKey = @1\nAllowedIPs = 10.0.0.1/32\n\n"
                  "# friendly_name = two\n# friendly_json = {\"site\": \"berlin\"}\n"
                  "[Peer]\nPublicKey = @2\n"),
            "@1 'one'\n@2 'two' site=berlin\n");
}

TEST(NameParser, DoesNotGiveTheInterfacesCommentToTheFirstPeer) {
  EXPECT_EQ(parse("# Name = server\n[Interface]\nListenPort = 1\n[Peer]\nPublicKey = @1\n"), "");
  EXPECT_EQ(parse("[Interface]\n# Name = server\nListenPort = 1\n[Peer]\nPublicKey = @1\n"), "");
}

TEST(NameParser, TakesLabelsOfEveryPlainKind) {
  EXPECT_EQ(parse("# friendly_json = {\"site\": \"berlin\", \"floor\": 3, \"lit\": true}\n"
                  "[Peer]\nPublicKey = @1\n"),
            "@1 '' floor=3 lit=true site=berlin\n");
}

TEST(NameParser, SaysWhatIsWrongWithJson) {
  struct Case {
    const char* json;
    const char* why;
  };
  for (const auto& [json, why] : {Case{"{broken", "line 2: friendly_json: not a JSON object"},
                                  Case{"[1, 2]", "line 2: friendly_json: not a JSON object"},
                                  Case{"\"text\"", "line 2: friendly_json: not a JSON object"},
                                  Case{"{\"a\": \"\xff\"}", "not a JSON object"},
                                  Case{"{\"a\": {\"b\": 1}}", "a: expected a text"},
                                  Case{"{\"a\": null}", "a: expected a text"}}) {
    std::vector<std::string> problems;
    EXPECT_EQ(
        parse("# Name = x\n# friendly_json = " + std::string(json) + "\n[Peer]\nPublicKey = @1\n",
              &problems),
        "@1 'x'\n");
    EXPECT_THAT(problems, ElementsAre(HasSubstr(why))) << json;
  }
}

TEST(NameParser, PassesOverWhatIsNoneOfItsBusiness) {
  std::vector<std::string> problems;
  EXPECT_EQ(parse("# a comment = of another kind\n#\n# friendly_name =\nPublicKey = @2\n=\n[Peer]\n"
                  "PublicKey = nonsense\n# Name = lost\n[Peer]\nPresharedKey = @2\nPublicKey\n"
                  "# Name = also lost\n[Other]\n# Name = lost, too\nPublicKey = @1\n",
                  &problems),
            "");
  EXPECT_THAT(problems, IsEmpty());
}

TEST(NameParser, TakesNoPrivateKeyForAPeers) {
  EXPECT_EQ(parse("# Name = me\n[Interface]\nPrivateKey = @1\n"), "");
  EXPECT_EQ(parse("[Peer]\n# Name = you\nPresharedKey = @1\nPrivateKey = @1\n"), "");
}

TEST(NameParser, KeepsTheLastOfTwoSectionsForOneKey) {
  EXPECT_EQ(parse("# Name = a\n[Peer]\nPublicKey = @1\n# Name = b\n[Peer]\nPublicKey = @1\n"),
            "@1 'b'\n");
}

TEST(NameParser, DoesNotNameALastPeerByOneThatIsCommentedOut) {
  EXPECT_EQ(
      parse("# Name = one\n[Peer]\nPublicKey = @1\n\n# Name = gone\n#[Peer]\n#PublicKey = @2\n"),
      "@1 'one'\n");
}

TEST(ReadNames, ReadsAFile) {
  test::TempRoot files;
  files.with("wg0.conf", "[Interface]\nPrivateKey = " + key2 +
                             "\n# Name = laptop\n[Peer]\nPublicKey = " + key1 +
                             "\n# friendly_json = no\n");
  const auto read = read_names(files.root(), "wg0.conf");
  ASSERT_TRUE(read);
  EXPECT_EQ(read->names.size(), 1u);
  EXPECT_EQ(read->names.at(key1).friendly_name, "laptop");
  EXPECT_THAT(read->problems, ElementsAre(HasSubstr("line 6: ")));
}

TEST(ReadNames, SaysWhyAFileCannotBeRead) {
  test::TempRoot files;
  files.with("folder/file", "");
  EXPECT_EQ(read_names(files.root(), "none.conf").error().code, Errc::absent);
  EXPECT_EQ(read_names(files.root(), "folder").error().code, Errc::malformed);
}

}  // namespace
}  // namespace wgvitals::kernel
