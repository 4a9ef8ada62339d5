// How serve puts a page where it belongs: all of it, or an error that names the remedy.
#pragma once

#include <chrono>
#include <filesystem>
#include <string_view>

#include "common/base/result.h"
#include "plugins/cli/destination.h"

namespace wgvitals::cli {

// Whether `path` may become a file of ours: its folder is there, and nothing but a plain file, or
// nothing, is in its place.
Result<Done> check_place(const std::filesystem::path& path);

// By a rename in the same folder, readable for everybody: a reader sees the old text or the new
// one. Where it fails the old file stays.
Result<Done> replace_file(const std::filesystem::path& path, std::string_view text);

// Over a connection of its own. The receiver has it when it closes, having read all; what was not
// read by then is given up after `patience` (the system's resolver takes its own time).
Result<Done> send_lines(const Endpoint& to, std::string_view lines,
                        std::chrono::milliseconds patience);

}  // namespace wgvitals::cli
