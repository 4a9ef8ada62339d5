// Files that hold one private or preshared key, in base64, as `wg genkey` and `wg genpsk` write
// them.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string_view>

#include "common/base/result.h"

namespace wgvitals::probe {

// Puts the key in `into`, which is secret memory; nothing else keeps any of it. Of a regular file
// whose owner is root or this process's user, which nobody else may write, and nobody read but its
// owner, root and this process's own user and group: else denied, with the chmod or chown that
// mends it. absent where there is none, malformed where it is no key; each names the file. Never
// waits.
Result<Done> read_key_file(const std::filesystem::path& file, std::span<std::uint8_t, 32> into);

// The same demands on another file with keys (a wg-quick file): who owns and may read it.
Result<Done> check_key_file(const std::filesystem::path& file);

// false where it is no key. Branches and tables do not depend on the key.
bool decode_key(std::string_view base64, std::span<std::uint8_t, 32> into);

}  // namespace wgvitals::probe
