#include "plugins/collectd/values.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <chrono>
#include <cmath>
#include <limits>
#include <memory>

#include "common/base/text.h"
#include "common/model/events.h"
#include "common/output/identity.h"
// Last.
#include "plugins/collectd/collectd_api.h"

namespace wgvitals::collectd {
namespace {

static_assert(DATA_MAX_NAME_LEN == longest_part + 1);

constexpr std::size_t most_sources = 4;

struct FreeMeta {
  void operator()(meta_data_t* meta) const { ::meta_data_destroy(meta); }
};
using Meta = std::unique_ptr<meta_data_t, FreeMeta>;

void copy(std::string_view text, char (&part)[DATA_MAX_NAME_LEN]) {
  const auto fitting = to_part(text);
  part[fitting.copy(part, sizeof part - 1)] = '\0';
}

// Type and instance of a metric: its own, else by kind and unit, with the field's name.
CollectdName to_name(const Metric& metric) {
  if (!metric.collectd.type.empty()) return metric.collectd;
  const auto type = metric.kind == Kind::counter ? "derive"
                    : metric.unit == Unit::truth ? "bool"
                                                 : "gauge";
  return {type, metric.field.view(), 0, metric.collectd.scale};
}

std::size_t count_sources(const Family& family, const CollectdName& name) {
  return static_cast<std::size_t>(
      std::count_if(family.metrics.begin(), family.metrics.end(), [&](const Metric* metric) {
        const auto other = to_name(*metric);
        return other.type == name.type && other.instance == name.instance;
      }));
}

const Place* find_place(const Record& record) {
  for (const auto& place : record.family.places) {
    const bool has_label =
        place.plugin_instance == nullptr ||
        std::any_of(record.labels.begin(), record.labels.end(), [&](const Label& label) {
          return label.name == place.plugin_instance && !label.value.empty();
        });
    if (has_label) return &place;
  }
  return nullptr;
}

std::string peer_of(const output::Identity& identity, PeerInstance how) {
  switch (how) {
    case PeerInstance::raw:
      return std::string(identity.public_key);
    case PeerInstance::safe: {
      auto nameless = identity;
      nameless.friendly_name = {};
      return nameless.safe_peer();
    }
    case PeerInstance::name: {
      // The daemon changes '/', carbon takes ';' for a tag; names are distinct without them.
      auto peer = identity.safe_peer();
      std::replace_if(
          peer.begin(), peer.end(), [](char c) { return c == '/' || c == ';'; }, '_');
      return peer;
    }
  }
  return {};
}

// As it is called where that has only what collectd's writers keep. ('.' is '_' in write_graphite,
// as for every plugin.)
std::string to_plain(const std::string& place) {
  auto plain = place;
  std::replace_if(
      plain.begin(), plain.end(),
      [](char c) {
        const auto byte = static_cast<unsigned char>(c);
        return byte < 0x80 && std::isalnum(byte) == 0 &&
               std::string_view("_-.@+=~").find(c) == std::string_view::npos;
      },
      '_');
  if (plain != place) (plain += '~') += text::to_mark(place);
  return plain;
}

// A device, or what the place says.
std::string to_plugin_instance(const Record& record, const Place& place,
                               const output::Identity& identity) {
  if (place.prefix.empty()) return to_plain(identity.place());
  std::string instance(place.prefix);
  for (const auto& label : record.labels) {
    if (label.name == place.plugin_instance) instance += label.value;
  }
  return to_plain(instance);
}

// Everything behind the metric's own instance: "-cpu0-laptop".
std::string to_tail(const output::Identity& identity, PeerInstance how) {
  std::string tail;
  for (const auto other : identity.others) {
    if (other != "all") (tail += '-') += other;
  }
  if (const auto peer = peer_of(identity, how); !peer.empty()) (tail += '-') += peer;
  return tail;
}

// What the identifier may not show: the true key, the name, the labels.
Meta to_meta(std::span<const Label> labels) {
  Meta meta(::meta_data_create());
  for (const auto& label : labels) {
    if (label.value.empty()) continue;
    const auto key = "wireguard:" + std::string(label.name->tag.view());
    (void)::meta_data_add_string(meta.get(), key.c_str(), std::string(label.value).c_str());
  }
  return meta;
}

value_t to_value(const Metric& metric, const Value& value) {
  value_t converted;
  const double scale = to_name(metric).scale;
  if (metric.kind == Kind::counter && scale == 1) {
    converted.derive = value.as(Type::i64).i64();
  } else if (metric.kind == Kind::counter) {
    converted.derive = static_cast<derive_t>(value.as(Type::f64).f64() * scale);
  } else {
    converted.gauge = value.as(Type::f64).f64() * scale;
  }
  return converted;
}

std::string joined(std::string_view instance, std::string_view tail) {
  std::string text(instance);
  if (text.empty() && !tail.empty()) tail.remove_prefix(1);
  return text += tail;
}

}  // namespace

PeerInstance to_peer_instance(std::string_view option) {
  return option == "raw"    ? PeerInstance::raw
         : option == "safe" ? PeerInstance::safe
                            : PeerInstance::name;
}

std::string to_part(std::string_view text) {
  if (text.size() <= longest_part) return std::string(text);
  return std::string(text::cut(text, longest_part - 7)) + '~' + text::to_mark(text);
}

void Values::take(const Record& record) {
  const auto* place = find_place(record);
  if (place == nullptr) return;
  const auto identity = output::to_identity(record, false, place->without);
  const auto tail = to_tail(identity, peers_);
  const auto since_1970 =
      std::chrono::duration_cast<std::chrono::nanoseconds>(now_.wall.time_since_epoch()).count();

  value_list_t list = VALUE_LIST_INIT;
  std::array<value_t, most_sources> values{};
  list.values = values.data();
  list.time = NS_TO_CDTIME_T(static_cast<cdtime_t>(since_1970));
  copy(place->plugin.view(), list.plugin);
  copy(to_plugin_instance(record, *place, identity), list.plugin_instance);
  const auto meta = identity.public_key.empty() ? Meta() : to_meta(record.labels);
  list.meta = meta.get();

  for (const auto& first : record.readings) {
    const auto name = to_name(*first.metric);
    if (first.value.type() == Type::text || name.source != 0) continue;
    const auto sources = std::min(count_sources(record.family, name), most_sources);
    std::size_t filled = 0;
    for (const auto& reading : record.readings) {
      const auto other = to_name(*reading.metric);
      if (other.type != name.type || other.instance != name.instance || other.source >= sources) {
        continue;
      }
      values[other.source] = to_value(*reading.metric, reading.value);
      ++filled;
    }
    if (filled != sources) continue;
    list.values_len = sources;
    copy(name.type, list.type);
    copy(joined(name.instance, tail), list.type_instance);
    (void)::plugin_dispatch_values(&list);
  }
  for (const auto* metric : place->as_nan) {
    const bool said = std::any_of(record.readings.begin(), record.readings.end(),
                                  [&](const Reading& reading) { return reading.metric == metric; });
    if (said) continue;
    const auto name = to_name(*metric);
    values[0].gauge = std::numeric_limits<double>::quiet_NaN();
    list.values_len = 1;
    copy(name.type, list.type);
    copy(joined(name.instance, tail), list.type_instance);
    (void)::plugin_dispatch_values(&list);
  }
}

void Values::take(const Event& event) {
  const Record record{event_numbers, event.labels, {}};
  const auto identity = output::to_identity(record, false);
  notification_t notification{};
  notification.severity = static_cast<int>(event.severity);
  notification.time = ::cdtime();
  std::string message = identity.place();
  if (const auto peer = peer_of(identity, peers_); !peer.empty()) message += " " + peer;
  ((message += ": ") += event.message);
  if (!event.from.empty()) (message += " from ") += event.from;
  if (!event.to.empty()) (message += " to ") += event.to;
  message.resize(text::cut(message, sizeof notification.message - 1).size());
  message.copy(notification.message, message.size());
  copy(::hostname_g, notification.host);
  copy("wireguard", notification.plugin);
  copy(to_plain(identity.place()), notification.plugin_instance);
  copy("gauge", notification.type);
  copy(joined(event.event.view(), to_tail(identity, peers_)), notification.type_instance);
  for (const auto& label : event.labels) {
    const auto key = "wireguard:" + std::string(label.name->tag.view());
    (void)::plugin_notification_meta_add_string(&notification, key.c_str(),
                                                std::string(label.value).c_str());
  }
  (void)::plugin_dispatch_notification(&notification);
  if (notification.meta != nullptr) (void)::plugin_notification_meta_free(notification.meta);
}

}  // namespace wgvitals::collectd
