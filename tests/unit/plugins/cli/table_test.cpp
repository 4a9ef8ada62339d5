#include "plugins/cli/table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/text.h"
#include "tests/support/families.h"

namespace wgvitals::cli {
namespace {

using test::Thing;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;

constexpr auto key = "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=";

std::string shown(const std::vector<Thing>& things, bool colour = false) {
  Table table;
  for (const auto& thing : things) test::take(thing, table);
  return table.text(colour);
}

// The last line, a peer's.
std::string row(const std::vector<Thing>& things) {
  auto text = shown(things);
  text.pop_back();
  return text.substr(text.rfind('\n') + 1);
}

Thing device(std::string_view field = "peers", std::int64_t value = 1) {
  return {"wireguard_device", {{"name", "wg0"}, {"type", "linux_kernel"}}, {{field, value}}};
}

TEST(HumanBytes, HaveOneDecimalWhereThereIsRoom) {
  const struct {
    std::int64_t bytes;
    const char* text;
  } cases[] = {
      {0, "0 B"},
      {1023, "1023 B"},
      {1024, "1.0 KiB"},
      {1536, "1.5 KiB"},
      {101'990, "99.6 KiB"},
      {102'400, "100 KiB"},
      {1'048'576, "1.0 MiB"},
      {5'368'709'120, "5.0 GiB"},
      {1'099'511'627'776, "1.0 TiB"},
      {INT64_MAX, "8192 PiB"},
  };
  for (const auto& test : cases) EXPECT_EQ(to_human_bytes(test.bytes), test.text) << test.bytes;
}

TEST(HumanMilliseconds, HaveThreeDigitsOrAllBeforeThePoint) {
  EXPECT_EQ(to_human_ms(0.0421), "0.042");
  EXPECT_EQ(to_human_ms(1.234), "1.23");
  EXPECT_EQ(to_human_ms(12.34), "12.3");
  EXPECT_EQ(to_human_ms(123.4), "123");
  EXPECT_EQ(to_human_ms(12345), "12345");
}

TEST(HumanAge, HasItsTwoLargestUnits) {
  const struct {
    double seconds;
    const char* text;
  } cases[] = {{0, "0s"},        {59.9, "59s"},       {60, "1m 00s"},     {3599, "59m 59s"},
               {3600, "1h 00m"}, {86'399, "23h 59m"}, {86'400, "1d 00h"}, {443'000, "5d 03h"}};
  for (const auto& test : cases) EXPECT_EQ(to_human_age(test.seconds), test.text) << test.seconds;
}

TEST(Table, SaysThatThereAreNoDevices) {
  EXPECT_EQ(Table().text(false), "No WireGuard devices here.\n");
}

TEST(Table, HasALineForADeviceAndOneForEachPeer) {
  const std::string_view device_key = key;
  EXPECT_EQ(shown({{"wireguard_device",
                    {{"name", "wg0"}, {"type", "linux_kernel"}},
                    {{"listen_port", 51820}, {"firewall_mark", 0}}},
                   {"wireguard_device",
                    {{"name", "wg0"}, {"type", "linux_kernel"}},
                    {{"peers", 2}, {"mtu", 1420}, {"link_up", 1}}},
                   {"wireguard_peer",
                    {{"device", "wg0"}, {"public_key", device_key}, {"friendly_name", "laptop"}},
                    {{"endpoint", "192.0.2.1:51820"}}},
                   {"wireguard_peer",
                    {{"device", "wg0"}, {"public_key", device_key}, {"friendly_name", "laptop"}},
                    {{"rx_bytes", 1536}, {"tx_bytes", 10}, {"handshake_age_s", 65.0}}},
                   {"wireguard_peer",
                    {{"device", "wg0"}, {"public_key", device_key}},
                    {{"allowed_ips", 1}}},
                   {"wireguard_peer",
                    {{"device", "wg0"}, {"public_key", device_key}},
                    {{"rx_bytes", 0}, {"tx_bytes", 148}}}}),
            "wg0  kernel  port 51820  2 peers  mtu 1420  up\n"
            "  PEER                  HANDSHAKE   RECEIVED       SENT  ENDPOINT\n"
            "  laptop                   1m 05s    1.5 KiB       10 B  192.0.2.1:51820\n"
            "  xTIBA5rboUvnH4hto..       never        0 B      148 B  -\n");
}

TEST(Table, TellsOfADevicesLink) {
  EXPECT_THAT(shown({device("link_up", 1)}), EndsWith("  up\n"));
  EXPECT_THAT(shown({device("link_up", 0)}), EndsWith("  down\n"));
  EXPECT_THAT(shown({device("peers", 1)}), EndsWith("  1 peer  link in another namespace\n"));
}

TEST(Table, TellsKernelFromUserspace) {
  EXPECT_THAT(
      shown(
          {{"wireguard_device", {{"name", "utun"}, {"type", "userspace"}}, {{"listen_port", 1}}}}),
      HasSubstr("utun  userspace  port 1"));
}

TEST(Table, KeepsDevicesOfTwoNamespacesApart) {
  const auto text =
      shown({{"wireguard_device", {{"name", "wg0"}, {"type", "linux_kernel"}}, {{"peers", 1}}},
             {"wireguard_device",
              {{"name", "wg0"}, {"netns", "blue"}, {"type", "linux_kernel"}},
              {{"peers", 2}}}});
  EXPECT_THAT(text, HasSubstr("wg0  kernel  port 0  1 peer "));
  EXPECT_THAT(text, HasSubstr("\n\nwg0@blue  kernel  port 0  2 peers "));
}

TEST(Table, FitsInEightyColumns) {
  const std::string name = std::string(40, 'n');
  const auto text = row({device(),
                         {"wireguard_peer",
                          {{"device", "wg0"}, {"public_key", key}, {"friendly_name", name}},
                          {{"endpoint", "[2001:db8:1111:2222:3333:4444:5555:6666]:65535"}}},
                         {"wireguard_peer",
                          {{"device", "wg0"}, {"public_key", key}, {"friendly_name", name}},
                          {{"rx_bytes", INT64_MAX},
                           {"tx_bytes", std::int64_t{1047527424}},
                           {"handshake_age_s", 8'639'999.0}}}});
  EXPECT_EQ(text, "  nnnnnnnnnnnnnnnnn..     99d 23h   8192 PiB    999 MiB  [2001:db8:1111:2222..");
  EXPECT_LE(text.size(), 80u);
}

TEST(Table, CountsCharactersAndNotBytes) {
  std::string umlauts;
  for (int i = 0; i < 25; ++i) umlauts += "\xc3\xa4";
  const auto text = row({device(),
                         {"wireguard_peer",
                          {{"device", "wg0"}, {"public_key", key}, {"friendly_name", umlauts}},
                          {{"rx_bytes", 0}}}});
  EXPECT_THAT(text, HasSubstr("  " + umlauts.substr(0, 34) + "..       never  "));
  EXPECT_EQ(text::to_printable(text), text) << "no character is cut in two";
}

TEST(Table, ListsPingsBelowTheDevices) {
  const auto text = shown({device(),
                           {"ping",
                            {{"url", "example.org"}},
                            {{"percent_packet_loss", 12.5},
                             {"average_response_ms", 23.456},
                             {"percentile95_ms", 30.0},
                             {"maximum_response_ms", 1234.0}}},
                           {"ping", {{"url", "example.org"}}, {{"resolved_address", "192.0.2.1"}}},
                           {"ping",
                            {{"url", "10.0.0.2"}, {"device", "wg0"}, {"friendly_name", "laptop"}},
                            {{"percent_packet_loss", 100.0}}},
                           {"ping", {{"url", "no.such"}}, {{"result_code", 2}}}});
  EXPECT_THAT(
      text, EndsWith("\n"
                     "  PING                       LOSS       MEAN        P95    LONGEST  DEVICE\n"
                     "  example.org               12.5%    23.5 ms    30.0 ms    1234 ms  -\n"
                     "  laptop                     100%          -          -          -  wg0\n"
                     "  no.such                not sent          -          -          -  -\n"));
}

TEST(Table, PaintsOnlyWhereItIsAskedTo) {
  const std::vector<Thing> things = {
      device("link_up", 1),
      {"wireguard_peer", {{"device", "wg0"}, {"public_key", key}}, {{"handshake_age_s", 10.0}}}};
  EXPECT_THAT(shown(things), Not(HasSubstr("\033")));
  const auto painted = shown(things, true);
  EXPECT_THAT(painted, HasSubstr("\033[32mup\033[0m"));
  EXPECT_THAT(painted, HasSubstr("\033[32m       10s\033[0m"));
}

TEST(Table, PaintsTheAgeByTheSession) {
  const auto age = [](double seconds) {
    return shown({device(),
                  {"wireguard_peer",
                   {{"device", "wg0"}, {"public_key", key}},
                   {{"handshake_age_s", seconds}}}},
                 true);
  };
  EXPECT_THAT(age(179), HasSubstr("\033[32m    2m 59s"));
  EXPECT_THAT(age(180), HasSubstr("\033[33m    3m 00s"));
  EXPECT_THAT(
      shown({device(),
             {"wireguard_peer", {{"device", "wg0"}, {"public_key", key}}, {{"rx_bytes", 0}}}},
            true),
      HasSubstr("\033[2m     never"));
}

}  // namespace
}  // namespace wgvitals::cli
