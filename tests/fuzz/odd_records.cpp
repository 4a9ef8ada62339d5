// odd_records lines COUNT: records with all that is odd in names, texts and numbers, the same at
// every run. On each line of its output stands in JSON what our line protocol writes for one
// ("line"), and what a host has to make of it ("name", "tags", "fields", "time").
// odd_records page COUNT: such records as a page for Prometheus.

#include <array>
#include <iostream>
#include <nlohmann/json.hpp>
#include <random>

#include "common/output/line_protocol.h"
#include "common/output/prometheus.h"
#include "tests/fuzz/line_protocol_reader.h"
#include "tests/fuzz/records.h"

namespace wgvitals::fuzz {
namespace {

// 2026-11-20 21:33:00 UTC; each record stands a nanosecond later, by which it is found again.
constexpr std::int64_t first_time = 1'795'210'380'000'000'000;

// Bytes among which those that formats escape are many.
std::vector<std::uint8_t> odd_bytes(std::mt19937& random) {
  constexpr std::string_view odd = R"(\\\\\\"""===,,,   '~#{}[]$%.-:;/@)";
  std::vector<std::uint8_t> bytes(200 + random() % 1200);
  for (auto& byte : bytes) {
    switch (random() % 4) {
      case 0:
        byte = static_cast<std::uint8_t>(random());
        break;
      case 1:
        byte = static_cast<std::uint8_t>('a' + random() % 26);
        break;
      case 2:
        byte = static_cast<std::uint8_t>(random() % 16);  // short texts, small choices
        break;
      default:
        byte = static_cast<std::uint8_t>(odd[random() % odd.size()]);
    }
  }
  return bytes;
}

template <class Take>
void for_each_record(int count, Take&& take) {
  std::mt19937 random(1);  // NOLINT(cert-msc51-cpp): the same ones each time
  for (int i = 0; i < count; ++i) {
    const auto bytes = odd_bytes(random);
    Bytes in(bytes.data(), bytes.size());
    const OddRecord odd(in);
    take(odd.record(), first_time + i);
  }
}

nlohmann::json to_json(const Line::Field& field) {
  constexpr std::array types{"i", "u", "f", "b", "s"};
  return std::visit(
      [&](const auto& value) {
        return nlohmann::json{types[field.index()], value};
      },
      field);
}

void print_lines(int count) {
  for_each_record(count, [](const Record& record, std::int64_t time) {
    std::string text;
    output::LineProtocol sink(text, output::Unsigned::kept);
    sink.begin({{}, std::chrono::system_clock::time_point(std::chrono::nanoseconds(time))});
    sink.take(record);
    if (text.empty()) return;
    const auto expected = expected_line(record, time);
    auto fields = nlohmann::json::object();
    for (const auto& [name, field] : expected.fields) fields[name] = to_json(field);
    std::cout << nlohmann::json{{"line", text},
                                {"name", expected.name},
                                {"tags", expected.tags},
                                {"fields", fields},
                                {"time", time}}
                     .dump()
              << '\n';
  });
}

void print_page(int count) {
  output::Prometheus sink;
  for_each_record(count, [&](const Record& record, std::int64_t) { sink.take(record); });
  std::cout << sink.text();
}

}  // namespace
}  // namespace wgvitals::fuzz

int main(int count, char** words) {
  try {
    const std::string what = count == 3 ? words[1] : "";
    const auto wanted = count == 3 ? wgvitals::text::to_number<int>(words[2]) : std::nullopt;
    if (!wanted || (what != "lines" && what != "page")) {
      std::cerr << "usage: odd_records lines|page COUNT\n";
      return 2;
    }
    what == "lines" ? wgvitals::fuzz::print_lines(*wanted) : wgvitals::fuzz::print_page(*wanted);
    return std::cout.flush() ? 0 : 1;
  } catch (const std::exception& error) {
    std::cerr << "odd_records: " << error.what() << '\n';
    return 1;
  }
}
