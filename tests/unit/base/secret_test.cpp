#include "common/base/secret.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <fstream>
#include <string>

namespace wgvitals {
namespace {

using testing::HasSubstr;

bool all_zero(std::span<const std::byte> bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](std::byte b) { return b == std::byte{0}; });
}

void fill(std::span<std::byte> bytes) { std::fill(bytes.begin(), bytes.end(), std::byte{0x5a}); }

// What the kernel says of the mapping around an address (fs/proc/task_mmu.c).
std::string flags_of(const void* address) {
  const auto wanted = reinterpret_cast<std::uintptr_t>(address);
  std::ifstream maps("/proc/self/smaps");
  bool ours = false;
  for (std::string line; std::getline(maps, line);) {
    std::uintptr_t from = 0;
    std::uintptr_t to = 0;
    if (std::sscanf(line.c_str(), "%" SCNxPTR "-%" SCNxPTR " ", &from, &to) == 2) {
      ours = from <= wanted && wanted < to;
    }
    if (ours && line.starts_with("VmFlags:")) return line + ' ';
  }
  return {};
}

TEST(SecretBuffer, HasWholePagesOfItsOwn) {
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  EXPECT_EQ(SecretBuffer(0).bytes().size(), page);
  EXPECT_EQ(SecretBuffer(1).bytes().size(), page);
  EXPECT_EQ(SecretBuffer(page).bytes().size(), page);
  EXPECT_EQ(SecretBuffer(page + 1).bytes().size(), 2 * page);
  const SecretBuffer buffer(1);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(buffer.bytes().data()) % page, 0u);
  EXPECT_TRUE(all_zero(buffer.bytes()));
}

TEST(SecretBuffer, StaysOutOfCoreDumpsAndChildren) {
  const SecretBuffer buffer(1);
  fill(buffer.bytes());
  const auto flags = flags_of(buffer.bytes().data());
  EXPECT_THAT(flags, HasSubstr(" dd "));  // MADV_DONTDUMP
  EXPECT_THAT(flags, HasSubstr(" dc "));  // MADV_DONTFORK
}

TEST(SecretBuffer, IsWiped) {
  const SecretBuffer buffer(1);
  fill(buffer.bytes());
  buffer.wipe(32);
  EXPECT_TRUE(all_zero(buffer.bytes().first(32)));
  EXPECT_EQ(buffer.bytes()[32], std::byte{0x5a});
  buffer.wipe();
  EXPECT_TRUE(all_zero(buffer.bytes()));
  fill(buffer.bytes());
  buffer.wipe(buffer.bytes().size() + 1);  // no further than its end
  EXPECT_TRUE(all_zero(buffer.bytes()));
}

TEST(SecretBuffer, MovesItsPages) {
  SecretBuffer from(1);
  fill(from.bytes());
  const auto* pages = from.bytes().data();
  SecretBuffer to(std::move(from));
  EXPECT_EQ(to.bytes().data(), pages);
  SecretBuffer other(1);
  other = std::move(to);
  EXPECT_EQ(other.bytes().data(), pages);
  EXPECT_EQ(other.bytes()[0], std::byte{0x5a});
}

TEST(SecretBuffer, RefusesWhatTheSystemCannotGive) {
  EXPECT_THROW(SecretBuffer(std::size_t{1} << 60), std::bad_alloc);
}

}  // namespace
}  // namespace wgvitals
