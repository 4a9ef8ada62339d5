// A report that keeps what failed, as texts, for tests to compare.
#pragma once

#include <string>
#include <vector>

#include "common/base/report.h"

namespace wgvitals::test {

class KeptReport final : public Report {
 public:
  void failed(const Error& error) override {
    codes.push_back(error.code);
    texts.push_back(to_text(error));
  }
  void noted(const Error& why) override { notes.push_back(to_text(why)); }
  void retried() override { ++retries; }

  std::vector<Errc> codes;
  std::vector<std::string> texts, notes;
  int retries = 0;
};

}  // namespace wgvitals::test
