// Graphite's plaintext protocol: <prefix>.<host>.<family>[.<device>][.<peer>][.<other>].<field>
#pragma once

#include <string>

#include "common/model/metric.h"

namespace wgvitals::output {

// Appends whole lines to `out`. Texts have no form here.
class Graphite final : public Sink {
 public:
  // `prefix` may have dots of its own; those of `host` become '_'.
  Graphite(std::string& out, std::string_view prefix, std::string_view host);

  void begin(const Now& now) override;
  void take(const Record& record) override;
  void take(const Event& event) override;

 private:
  std::string& out_;
  std::string start_;  // "wireguard.host."
  std::string end_;    // " <seconds>\n"
  std::string path_;
};

// One part of a path: dots, blanks, control characters and what Graphite's queries use become '_'.
std::string to_graphite_part(std::string_view text);

}  // namespace wgvitals::output
