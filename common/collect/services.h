// The collector of services (tcp, http): blocks that become targets, probes that begin at the first
// read, and results that are told once.
#pragma once

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/report.h"
#include "common/collect/collector.h"
#include "common/collect/probe_options.h"
#include "common/probe/tcp.h"

namespace wgvitals::collect {

inline constexpr config::Option probe_interval{
    "interval", config::Takes::duration,
    "0s",       "Time from probe to probe of a target; 0s: one a gather",
    0,          3'600'000};

inline probe::Pace to_pace(const config::Settings& block) {
  return {block.duration(probe_interval), static_cast<unsigned>(block.whole(probe_slowest))};
}

// An extended regular expression, which may match anywhere. Empty where it is none.
inline std::optional<Pattern> to_pattern(const config::Settings& block,
                                         const config::Option& option, Mistakes& mistakes) {
  auto pattern = Pattern::parse("/" + block.text(option) + "/");
  if (pattern) return std::move(*pattern);
  mistakes.add(block, std::string(option.name.view()) + " " + pattern.error().where);
  return std::nullopt;
}

// Probes of services, and their last results, of which each is told once. A Service says what they
// are:
//   Probes, Target          as of common/probe
//   Shown                   what tells one target's records from another's; ordered, written()
//   kind, places            its kind of block, and the option that lists the targets
//   to_target(block, mistakes)   what the targets of a block share; empty where it has a mistake
//   aim(text, target)       puts in where one of them is, and returns how it is shown
//   emit(shown, outcome, sink)
template <class Service>
class ServiceCollector final : public Collector {
  using Target = typename Service::Target;
  using Shown = typename Service::Shown;

 public:
  ServiceCollector(const Services& services, const config::Settings& settings)
      : probes_(services.loop, services.resolver, to_targets(settings),
                std::uniform_real_distribution<double>()(random_)),
        outcomes_(shown_.size()) {}

  void read(Devices&, Report& report) override {
    mistakes_.report(report);
    if (shown_.empty()) return;
    if (const auto begun = probes_.begin(); !begun) report.failed(begun.error());
    probes_.take(outcomes_);
    for (const auto& error : probes_.wrong()) report.failed(error);
  }

  void emit(const Now&, const Devices&, const Peers&, Sink& sink) const override {
    for (std::size_t i = 0; i < shown_.size(); ++i) {
      if (outcomes_[i]) Service::emit(shown_[i], *outcomes_[i], sink);
    }
  }

  void told() override {
    std::fill(outcomes_.begin(), outcomes_.end(), std::nullopt);
    const auto now = probe::Clock::now();
    if (told_) probes_.set_gather(now - *told_);
    told_ = now;
  }

  std::string unsettled() override {
    probes_.take(outcomes_);
    const auto open = std::count(outcomes_.begin(), outcomes_.end(), std::nullopt);
    if (open == 0) return {};
    return std::to_string(open) + " of " + std::to_string(outcomes_.size()) + " targets";
  }

 private:
  std::vector<Target> to_targets(const config::Settings& settings) {
    std::vector<Target> targets;
    std::set<Shown> known;
    for (const auto* block : settings.blocks(Service::kind)) {
      const auto shared = Service::to_target(*block, mistakes_);
      if (!shared) continue;
      for (const auto& text : block->texts(Service::places)) {
        auto target = *shared;
        auto shown = Service::aim(text, target);
        if (!shown) {
          mistakes_.add(*block, shown.error().where);
        } else if (!known.insert(*shown).second) {
          mistakes_.add(*block, "\"" + shown->written() + "\" comes twice");
        } else {
          shown_.push_back(std::move(*shown));
          targets.push_back(std::move(target));
        }
      }
    }
    return targets;
  }

  std::random_device random_;
  Mistakes mistakes_;
  std::vector<Shown> shown_;  // by target
  typename Service::Probes probes_;
  typename Service::Probes::Outcomes outcomes_;
  std::optional<probe::Clock::time_point> told_;
};

template <class Service>
std::unique_ptr<Collector> make_service_collector(const Services& services,
                                                  const config::Settings& settings) {
  if (settings.blocks(Service::kind).empty()) return nullptr;
  return std::make_unique<ServiceCollector<Service>>(services, settings);
}

}  // namespace wgvitals::collect
