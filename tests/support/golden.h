// Texts that are kept, and compared with what is made now. With WGVITALS_UPDATE_GOLDEN=1 in the
// environment they are written anew instead: the change is then there to be read.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

namespace wgvitals::test {

// `file` is below the source folder.
inline void compare_with_file(const std::filesystem::path& file, const std::string& made) {
  const auto path = std::filesystem::path(WGVITALS_SOURCE_DIR) / file;
  if (std::getenv("WGVITALS_UPDATE_GOLDEN") != nullptr) std::ofstream(path) << made;
  std::ifstream stream(path);
  ASSERT_TRUE(stream.is_open()) << path << " is missing; make it with WGVITALS_UPDATE_GOLDEN=1";
  std::ostringstream kept;
  kept << stream.rdbuf();
  EXPECT_EQ(made, kept.str()) << path << ": if the new text is right, WGVITALS_UPDATE_GOLDEN=1";
}

inline void compare_with_golden(const char* name, const std::string& made) {
  compare_with_file(std::filesystem::path("tests/golden") / name, made);
}

}  // namespace wgvitals::test
