// Stdout that never blocks: one gather's lines at a time.
#pragma once

#include <chrono>
#include <string>

#include "common/base/result.h"

namespace wgvitals::telegraf {

class Output {
 public:
  Output();   // stdout becomes non-blocking
  ~Output();  // unless finished, what it was before

  bool pending() const { return written_ < lines_.size(); }
  std::string& lines() { return lines_; }  // to fill, while nothing is pending
  void clear();

  // As much as there is room for now. An error: nobody reads any more (EPIPE), or there will never
  // be room (a file on a full disk).
  Result<Done> write();

  // Writes the rest, closes stdout and stderr and gives Telegraf the time to read: it would lose
  // what a child wrote just before its exit.
  void finish(std::chrono::milliseconds wait);

 private:
  std::size_t whole_write() const;
  std::size_t next_size() const;

  std::string lines_;
  std::size_t written_ = 0;
  int flags_;
  int capacity_;  // of the pipe; below 0: it is none
};

}  // namespace wgvitals::telegraf
