// What is due when, of many: an item's number is put, taken or removed in constant time, in lists
// of about a millisecond each. Nothing is allocated once every item was in it.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <cstdint>
#include <limits>
#include <vector>

#include "common/probe/schedule.h"

namespace wgvitals::probe {

class Wheel {
 public:
  static constexpr auto never = Clock::time_point::max();

  // An item is in it once at most: it moves.
  void put(std::uint32_t item, Clock::time_point when, Clock::time_point now) {
    if (item >= links_.size()) links_.resize(item + 1);
    remove(item);
    if (count_ == 0) at_ = to_tick(now);
    links_[item].when = when;
    insert(item);
    ++count_;
  }

  void remove(std::uint32_t item) {
    if (item >= links_.size() || links_[item].slot == none) return;
    unlink(item);
    --count_;
  }

  // Calls take(item, next) for what is due, until that says false: then the item stays. `next` will
  // probably be the one after it, or none.
  template <class Take>
  void take_due(Clock::time_point until, Take&& take) {
    const auto end = to_tick(until);
    while (count_ > 0) {
      if (first_[far] != none && at_ >= look_again_) bring_near();
      const auto stop = first_[far] == none ? end : std::min(end, look_again_);
      const auto tick = next_tick();
      if (tick <= stop) {
        at_ = tick;
        if (!take_slot(to_slot(tick), until, take)) return;
        if (tick < stop) continue;
      }
      at_ = std::max(at_, stop);
      if (first_[far] == none || at_ < look_again_) return;
    }
  }

  // When the first is due; earlier where that is far off.
  Clock::time_point next() const {
    auto next = first_[far] == none
                    ? never
                    : Clock::time_point(std::chrono::nanoseconds(look_again_ << tick_bits));
    const auto tick = next_tick();
    if (tick == no_tick) return next;
    for (auto item = first_[to_slot(tick)]; item != none; item = links_[item].next)
      next = std::min(next, links_[item].when);
    return next;
  }

 private:
  static constexpr std::uint32_t none = std::numeric_limits<std::uint32_t>::max();
  static constexpr int tick_bits = 20;  // nanoseconds: 1.05 ms
  static constexpr std::uint32_t slots = 4096;
  static constexpr std::uint32_t far = slots;  // the list of what is due after a turn
  static constexpr std::int64_t no_tick = std::numeric_limits<std::int64_t>::max();

  struct Link {
    Clock::time_point when;
    std::uint32_t next = none;
    std::uint32_t previous = none;  // none: the first of its list
    std::uint32_t slot = none;      // none: not in it
  };

  static std::int64_t to_tick(Clock::time_point time) {
    return time.time_since_epoch().count() >> tick_bits;
  }

  static std::uint32_t to_slot(std::int64_t tick) {
    return static_cast<std::uint32_t>(tick % slots);
  }

  void insert(std::uint32_t item) {
    auto& link = links_[item];
    const auto tick = std::max(at_, to_tick(link.when));
    if (tick < at_ + slots) {
      link.slot = to_slot(tick);
      used_[link.slot / 64] |= std::uint64_t{1} << link.slot % 64;
    } else {
      if (first_[far] == none) look_again_ = at_ + slots / 2;
      link.slot = far;
    }
    link.previous = none;
    link.next = first_[link.slot];
    if (link.next != none) links_[link.next].previous = item;
    first_[link.slot] = item;
  }

  void unlink(std::uint32_t item) {
    auto& link = links_[item];
    if (link.next != none) links_[link.next].previous = link.previous;
    if (link.previous != none) {
      links_[link.previous].next = link.next;
    } else {
      first_[link.slot] = link.next;
      if (link.next == none && link.slot != far)
        used_[link.slot / 64] &= ~(std::uint64_t{1} << link.slot % 64);
    }
    link.slot = none;
  }

  void bring_near() {
    look_again_ = at_ + slots / 2;
    for (auto item = first_[far]; item != none;) {
      const auto next = links_[item].next;
      if (to_tick(links_[item].when) < at_ + slots) {
        unlink(item);
        insert(item);
      }
      item = next;
    }
  }

  // Of the next list that holds anything.
  std::int64_t next_tick() const {
    const auto start = to_slot(at_);
    auto word = start / 64;
    auto bits = used_[word] >> start % 64 << start % 64;
    for (std::size_t turn = 0; turn <= used_.size(); ++turn) {
      if (bits != 0) {
        const auto slot = word * 64 + static_cast<std::uint32_t>(std::countr_zero(bits));
        return at_ + (slot + slots - start) % slots;
      }
      word = (word + 1) % (slots / 64);
      bits = used_[word];
    }
    return no_tick;
  }

  template <class Take>
  bool take_slot(std::uint32_t slot, Clock::time_point until, Take& take) {
    for (auto item = first_[slot]; item != none;) {
      const auto next = links_[item].next;
      if (links_[item].when <= until) {
        if (!take(item, next)) return false;
        remove(item);
      }
      item = next;
    }
    return true;
  }

  std::vector<Link> links_;
  std::array<std::uint32_t, slots + 1> first_ = [] {
    std::array<std::uint32_t, slots + 1> lists{};
    lists.fill(none);
    return lists;
  }();
  std::array<std::uint64_t, slots / 64> used_{};
  std::size_t count_ = 0;
  std::int64_t at_ = 0;          // the tick before which nothing is in its lists
  std::int64_t look_again_ = 0;  // the tick at which some far ones may be within a turn
};

}  // namespace wgvitals::probe
