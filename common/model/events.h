// What changed since the last gather, kept until it is emitted. One event a gather for each kind
// and thing: the first `from`, the last `to`. Bounded.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "common/model/metric.h"

namespace wgvitals {

// The families under which outputs of lines tell events.
extern const Family event_numbers;
extern const Family event_texts;

class Events {
 public:
  void add(const Event& event);
  void emit(Sink& sink) const;
  void clear();

  std::uint64_t dropped() const { return dropped_; }  // since start, for want of room

 private:
  struct Owned {
    Name event;
    Severity severity;
    std::vector<std::pair<const LabelName*, std::string>> labels;
    std::string from, to, message;
  };

  std::vector<Owned> events_;
  std::uint64_t dropped_ = 0;
};

// The two lines of an event, for sinks that have nothing better.
void take_as_records(const Event& event, Sink& sink);

}  // namespace wgvitals
