// Messages on stderr with the prefixes that Telegraf knows: "E! ", "W! ", "I! ", "D! ".
#pragma once

#include <chrono>
#include <mutex>

#include "common/base/log.h"

namespace wgvitals::telegraf {

// Never blocks and never floods: a reader that stops reading stderr, or a line of 64 KiB, would
// stop Telegraf's own reader for good. Lines are cut, and dropped where there are too many or no
// room.
class StderrLog final : public Log {
 public:
  void write(Level level, std::string_view line) override;

 private:
  bool may_write(std::chrono::steady_clock::time_point now);

  std::mutex mutex_;
  std::chrono::steady_clock::time_point window_;
  int written_ = 0;
  int dropped_ = 0;
};

}  // namespace wgvitals::telegraf
