#include "common/trace/refused.h"

#include <gmock/gmock.h>

#include <map>
#include <string>
#include <utility>

#include "common/trace/obstacle.h"
#include "tests/support/temp_root.h"

namespace wgvitals::trace {
namespace {

using testing::AnyOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

Result<Done> parse(const refused_key& key, std::span<const refused_counts> values,
                   std::vector<RefusedPackets>& refused) {
  return parse_refused(std::as_bytes(std::span(&key, 1)), std::as_bytes(values), refused);
}

TEST(ParseRefused, SumsTheCpus) {
  const refused_counts values[] = {{1, 0, 0}, {0, 0, 2}, {5'000'000'000, 7, 1}};
  std::vector<RefusedPackets> refused;
  ASSERT_TRUE(parse({4026531840, 12, 0}, values, refused));
  ASSERT_TRUE(parse({4026531840, 13, 0}, {}, refused));
  ASSERT_TRUE(parse({4026531840, 0, 51820}, values, refused));
  ASSERT_THAT(refused, SizeIs(3));
  EXPECT_EQ(refused[0].device, (DeviceIdentity{4026531840, 12}));
  EXPECT_EQ(refused[0].auth_failures, 5'000'000'001u);
  EXPECT_EQ(refused[0].replays, 7u);
  EXPECT_EQ(refused[0].port, 0u);
  EXPECT_EQ(refused[1].auth_failures + refused[1].replays, 0u);
  EXPECT_EQ(refused[2].device, (DeviceIdentity{4026531840, 0}));
  EXPECT_EQ(refused[2].port, 51820u);
  EXPECT_EQ(refused[2].unknown_index, 3u);
}

TEST(ParseRefused, RefusesWhatIsNone) {
  const refused_counts values[] = {{1, 2, 0}, {3, 4, 0}};
  const auto bytes = std::as_bytes(std::span(values));
  const refused_key good{1, 2, 0};
  const auto key = std::as_bytes(std::span(&good, 1));
  std::vector<RefusedPackets> refused;
  EXPECT_FALSE(parse_refused(key.first(key.size() - 1), bytes, refused));
  EXPECT_FALSE(parse_refused(key, bytes.first(bytes.size() - 1), refused));
  for (const auto& key_of_none : {refused_key{1, 0, 0}, {1, 2, 51820}, {1, 0, 65536}}) {
    EXPECT_FALSE(parse(key_of_none, values, refused));
  }
  EXPECT_THAT(refused, IsEmpty());
}

using Members = std::map<std::pair<std::string, std::string>, std::uint32_t>;

std::optional<refused_settings> settings_of(const Members& members) {
  return derive_refused_settings(
      [&](const char* type, const char* member) -> std::optional<std::uint32_t> {
        const auto found = members.find({type, member});
        if (found == members.end()) return std::nullopt;
        return found->second;
      });
}

TEST(DeriveRefusedSettings, LeadFromThePacketToTheDevice) {
  const Members members{{{"packet_cb", "state"}, 16},      {{"packet_cb", "keypair"}, 8},
                        {{"noise_keypair", "entry"}, 100}, {{"index_hashtable_entry", "peer"}, 7},
                        {{"wg_peer", "device"}, 3},        {{"wg_device", "dev"}, 5}};
  const auto settings = settings_of(members);
  ASSERT_TRUE(settings);
  EXPECT_EQ(settings->state, 16u);
  EXPECT_EQ(settings->keypair, 8u);
  EXPECT_EQ(settings->peer, 107u);
  EXPECT_EQ(settings->device, 3u);
  EXPECT_EQ(settings->dev, 5u);
  for (const auto& one : members) {
    auto others = members;
    others.erase(one.first);
    EXPECT_FALSE(settings_of(others)) << one.first.second;
  }
}

TEST(RefusedCounter, SaysWhatThisKernelLacks) {
  const test::TempRoot root;  // without types
  const auto attached = RefusedCounter::attach(root.root());
  ASSERT_FALSE(attached);
  EXPECT_EQ(attached.error().code, Errc::absent);
  EXPECT_THAT(to_text(attached.error()),
              AnyOf(HasSubstr("CONFIG_DEBUG_INFO_BTF"), HasSubstr("built without eBPF")));
}

}  // namespace
}  // namespace wgvitals::trace
