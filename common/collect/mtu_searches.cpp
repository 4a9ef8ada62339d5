#include "common/collect/mtu_searches.h"

#include <algorithm>
#include <mutex>
#include <random>
#include <utility>

#include "common/probe/schedule.h"

namespace wgvitals::collect {
namespace {

constexpr std::size_t most_running = 4;  // searches at once
constexpr std::chrono::minutes longest_first_wait(5);

}  // namespace

// What the loop's thread puts down.
struct MtuSearches::Box {
  struct Letter {
    Slot slot;
    std::uint32_t run;
    bool inside;
    probe::MtuResult result;
  };

  std::mutex mutex;
  std::vector<Letter> letters;
};

MtuSearches::MtuSearches(probe::Loop& loop, std::chrono::milliseconds interval, bool at_once)
    : loop_(loop), interval_(interval), at_once_(at_once), box_(std::make_shared<Box>()) {
  std::random_device random;
  seed_ = std::uniform_real_distribution<double>()(random);
}

void MtuSearches::follow(Slot slot, const PublicKey& key, const Endpoint& endpoint,
                         Clock::time_point now) {
  if (slot >= slots_.size()) slots_.resize(slot + 1);
  auto& peer = slots_[slot];
  if (peer.key == key && peer.endpoint == endpoint) return;
  const auto spread = std::min<Clock::duration>(interval_, longest_first_wait);
  peer = {};  // a search that still runs is for another run
  peer.key = key;
  peer.endpoint = endpoint;
  peer.due = now;
  if (!at_once_) {
    peer.due += std::chrono::duration_cast<Clock::duration>(spread * probe::to_phase(seed_, slot));
  }
}

bool MtuSearches::due(Slot slot, Clock::time_point now) const {
  const auto& peer = slots_[slot];
  return peer.open == 0 && peer.due <= now && running_ < most_running;
}

void MtuSearches::begin(Slot slot, probe::MtuQuestion outside,
                        std::optional<probe::MtuQuestion> inside, Clock::time_point now) {
  auto& peer = slots_[slot];
  peer.due = at_once_ ? Clock::time_point::max() : now + interval_;
  peer.run = ++runs_;
  peer.open = inside ? 2 : 1;
  peer.inside = inside.has_value();
  if (!inside) peer.found.inside = 0;
  search(slot, std::move(outside), false);
  if (inside) search(slot, std::move(*inside), true);
}

void MtuSearches::search(Slot slot, probe::MtuQuestion question, bool inside) {
  ++running_;
  probe::search_mtu(loop_, question,
                    [box = box_, slot, run = runs_, inside](probe::MtuResult result) {
                      const std::lock_guard lock(box->mutex);
                      box->letters.push_back({slot, run, inside, std::move(result)});
                    });
}

void MtuSearches::poll() {
  std::vector<Box::Letter> letters;
  {
    const std::lock_guard lock(box_->mutex);
    letters.swap(box_->letters);
  }
  for (const auto& [slot, run, inside, result] : letters) {
    --running_;
    if (result.error && result.error->code == Errc::denied) denied_ = result.error;
    auto& peer = slots_[slot];
    if (peer.run != run) continue;  // the slot is another's by now, or its endpoint moved
    if (inside) {
      peer.inside = false;
      peer.found.inside = result.mtu;
    } else {
      peer.found.outside = result.mtu != 0 ? result.mtu : result.told;
    }
    --peer.open;
  }
}

void MtuSearches::report(Report& report) {
  if (denied_) report.failed(*std::exchange(denied_, std::nullopt));
}

}  // namespace wgvitals::collect
