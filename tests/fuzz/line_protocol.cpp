// Records through our line protocol and back, as Telegraf and InfluxDB read it.

#include "common/output/line_protocol.h"

#include "tests/fuzz/check.h"
#include "tests/fuzz/line_protocol_reader.h"
#include "tests/fuzz/records.h"

namespace wgvitals::fuzz {
namespace {

// InfluxDB 1.x knows no unsigned numbers.
Line clipped(Line line) {
  for (auto& [name, field] : line.fields) {
    if (const auto* number = std::get_if<std::uint64_t>(&field)) {
      field = *number > INT64_MAX ? INT64_MAX : static_cast<std::int64_t>(*number);
    }
  }
  return line;
}

// Takes a gather's records, and hands out what each has added.
class Writer {
 public:
  Writer(std::int64_t time, output::Unsigned how) : sink_(text_, how) {
    sink_.begin({{}, std::chrono::system_clock::time_point(std::chrono::nanoseconds(time))});
  }
  std::string_view line_of(const Record& record) {
    const auto before = text_.size();
    sink_.take(record);
    return std::string_view(text_).substr(before);
  }

 private:
  std::string text_;
  output::LineProtocol sink_;
};

void write_and_read(Bytes& in) {
  const auto time = in.number<std::int64_t>();
  Writer keeping(time, output::Unsigned::kept), clipping(time, output::Unsigned::clipped);
  std::deque<OddRecord> gather;
  while (in.more()) {
    const auto* before = gather.empty() ? nullptr : &gather.back();
    const auto record = gather.emplace_back(in, before).record();
    const auto expected = expected_line(record, time);
    const auto kept = keeping.line_of(record), clipped_line = clipping.line_of(record);
    if (expected.fields.empty()) {
      check(kept.empty() && clipped_line.empty(), "no line without a field");
      continue;
    }
    check(LineReader(kept, ReadBy::telegraf).read() == expected, "Telegraf reads what was said");
    check(LineReader(clipped_line, ReadBy::telegraf).read() == clipped(expected),
          "Telegraf reads what was said, clipped");
    check(LineReader(clipped_line, ReadBy::influxdb).read() == clipped(expected),
          "InfluxDB reads what was said");
  }
}

}  // namespace
}  // namespace wgvitals::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  wgvitals::fuzz::Bytes in(data, size);
  wgvitals::fuzz::write_and_read(in);
  return 0;
}
