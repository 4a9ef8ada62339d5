#include "common/model/events.h"

#include <algorithm>
#include <array>

#include "common/model/label_names.h"

namespace wgvitals {
namespace {

constexpr std::size_t most_events = 1000;
constexpr std::size_t most_labels = 24;

constexpr LabelName event_label{"event"};
constexpr const LabelName* labels[] = {&device_label, &netns_label, &public_key_label,
                                       &friendly_name_label, &event_label};

constexpr Metric severity{"severity", Type::i64, Kind::gauge, Unit::none,
                          "1 failure, 2 warning, 4 okay: collectd's values"};
constexpr Metric message{"message", Type::text, Kind::gauge, Unit::none, "What happened, in words"};
constexpr Metric from{"from", Type::text, Kind::gauge, Unit::none, "What it was before"};
constexpr Metric to{"to", Type::text, Kind::gauge, Unit::none, "What it is now"};
constexpr const Metric* numbers[] = {&severity};
constexpr const Metric* texts[] = {&message, &from, &to};

}  // namespace

constexpr Family event_numbers{"wireguard_event", "Something changed", numbers, labels, {}, true};
constexpr Family event_texts{
    "wireguard_event", "Something changed, in words", texts, labels, {}, true};

void Events::add(const Event& event) {
  const auto same_labels = [&](const Owned& owned) {
    return std::equal(owned.labels.begin(), owned.labels.end(), event.labels.begin(),
                      event.labels.end(), [](const auto& left, const Label& right) {
                        return left.first == right.name && left.second == right.value;
                      });
  };
  for (auto& owned : events_) {
    if (owned.event.view() != event.event.view() || !same_labels(owned)) continue;
    owned.severity = event.severity;
    owned.to = event.to;
    owned.message = event.message;
    return;
  }
  if (events_.size() >= most_events) {
    ++dropped_;
    return;
  }
  auto& owned = events_.emplace_back(Owned{event.event,
                                           event.severity,
                                           {},
                                           std::string(event.from),
                                           std::string(event.to),
                                           std::string(event.message)});
  for (const auto& label : event.labels) owned.labels.emplace_back(label.name, label.value);
}

void Events::emit(Sink& sink) const {
  for (const auto& owned : events_) {
    std::vector<Label> views;
    for (const auto& [name, value] : owned.labels) views.push_back({name, value});
    sink.take(Event{owned.event, owned.severity, views, owned.from, owned.to, owned.message});
  }
}

void Events::clear() { events_.clear(); }

void take_as_records(const Event& event, Sink& sink) {
  std::array<Label, most_labels> all;
  const auto given = std::min(event.labels.size(), most_labels - 1);
  std::copy_n(event.labels.begin(), given, all.begin());
  all[given] = {&event_label, event.event.view()};
  const std::span<const Label> with_event(all.data(), given + 1);

  Readings<1> number;
  number.add(severity, static_cast<std::int64_t>(event.severity));
  sink.take(Record{event_numbers, with_event, number});

  Readings<3> words;
  words.add(message, event.message);
  if (!event.from.empty()) words.add(from, event.from);
  if (!event.to.empty()) words.add(to, event.to);
  sink.take(Record{event_texts, with_event, words});
}

}  // namespace wgvitals
