#include "common/output/graphite.h"

#include <chrono>

#include "common/base/text.h"
#include "common/model/events.h"
#include "common/output/identity.h"
#include "common/output/number.h"

namespace wgvitals::output {

std::string to_graphite_part(std::string_view text) {
  constexpr std::string_view forbidden = ".\"\\:!,/()[]{}*?;='`|<>&%#$^";
  std::string part(text);
  for (char& c : part) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte <= ' ' || byte == 0x7f || forbidden.find(c) != std::string_view::npos) c = '_';
  }
  return part;
}

namespace {

// Devices whose names differ only in what is escaped stay apart. (Peers' names are distinct
// already.)
std::string to_device_part(std::string_view name) {
  auto part = to_graphite_part(name);
  if (part != name) (part += '~') += text::to_mark(name);
  return part;
}

}  // namespace

Graphite::Graphite(std::string& out, std::string_view prefix, std::string_view host) : out_(out) {
  if (!prefix.empty()) (start_ += prefix) += '.';
  (start_ += to_graphite_part(host)) += '.';
}

void Graphite::begin(const Now& now) {
  end_ = " ";
  append_number(end_, std::chrono::system_clock::to_time_t(now.wall));
  end_ += '\n';
}

void Graphite::take(const Record& record) {
  const auto identity = to_identity(record, true);
  path_ = start_;
  path_ += record.family.name.view();
  const auto add = [&](std::string_view part) {
    if (!part.empty()) (path_ += '.') += to_graphite_part(part);
  };
  add(to_device_part(identity.place()));
  add(identity.safe_peer());
  for (const auto other : identity.others) add(other);
  path_ += '.';
  for (const auto& reading : record.readings) {
    if (!is_plain_number(reading.value)) continue;
    out_ += path_;
    out_ += reading.metric->field.view();
    out_ += ' ';
    append_value(out_, reading.value);
    out_ += end_;
  }
}

void Graphite::take(const Event& event) { take_as_records(event, *this); }

}  // namespace wgvitals::output
