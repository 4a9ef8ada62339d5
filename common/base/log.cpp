#include "common/base/log.h"

namespace wgvitals {
namespace {

constexpr auto repeat_coming_and_going = std::chrono::minutes(10);
constexpr auto repeat_staying = std::chrono::hours(1);
constexpr std::size_t most_texts = 256;

}  // namespace

void Complaints::complain(Log& log, Level level, std::string_view text, Clock::time_point now) {
  auto known = texts_.find(text);
  if (known == texts_.end()) {
    if (texts_.size() >= most_texts) {
      if (!full_said_) log.warning("more failures than can be told apart; count them by errors=");
      full_said_ = true;
      return;
    }
    known = texts_.emplace(text, State{now - repeat_staying}).first;
  }
  auto& state = known->second;
  state.current = true;
  if (now - state.said < (state.announced ? repeat_staying : repeat_coming_and_going)) return;
  log.write(level, text);
  state.said = now;
  state.announced = true;
}

void Complaints::settle(Log& log, Clock::time_point now) {
  for (auto entry = texts_.begin(); entry != texts_.end();) {
    auto& [text, state] = *entry;
    const bool over = !state.current;
    if (over && state.announced) {
      log.info("well again: " + text);
      state.announced = false;
    }
    state.current = false;
    entry =
        over && now - state.said > repeat_coming_and_going ? texts_.erase(entry) : std::next(entry);
  }
  if (texts_.size() < most_texts) full_said_ = false;
}

}  // namespace wgvitals
