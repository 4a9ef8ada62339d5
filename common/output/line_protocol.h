// InfluxDB line protocol, as Telegraf's execd and InfluxDB 1.x take it (reference: the grammar of
// Telegraf's plugins/parsers/influx/machine.go.rl).
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "common/model/metric.h"

namespace wgvitals::output {

enum class Unsigned : std::uint8_t {
  kept,     // 7u: Telegraf converts it
  clipped,  // 7i: InfluxDB 1.x refuses u
};

// Appends whole lines to `out`, which keeps its memory from gather to gather. A record without a
// number or text that can be written leaves no line.
class LineProtocol final : public Sink {
 public:
  LineProtocol(std::string& out, Unsigned how) : out_(out), unsigned_(how) {}

  void begin(const Now& now) override;
  void take(const Record& record) override;
  void take(const Event& event) override;

 private:
  // The tags as last written: a thing that is told in several lines has them written once.
  struct Tags {
    std::string text;
    std::string values;
    std::vector<std::pair<const LabelName*, std::size_t>> names;  // with the sizes of the values

    bool are(std::span<const Label> labels) const;
    void set(std::span<const Label> labels);
  };

  char* put_field(char* out, const Reading& reading) const;

  std::string& out_;
  Unsigned unsigned_;
  std::string end_;  // " <nanoseconds>\n"
  Tags tags_;
  std::vector<char> line_;
};

}  // namespace wgvitals::output
