#include "common/output/line_protocol.h"

#include <gtest/gtest.h>

#include "tests/support/things.h"

namespace wgvitals::output {
namespace {

using test::things;
constexpr const char* end = " 1709208000123456789\n";

std::string written(std::span<const Label> labels, std::span<const Reading> readings,
                    Unsigned how = Unsigned::kept) {
  std::string text;
  LineProtocol sink(text, how);
  sink.begin(test::leap_day());
  sink.take(Record{things, labels, readings});
  return text;
}

std::string tag(std::string_view value) {
  const Label labels[] = {{&test::site_label, value}};
  const Reading readings[] = {{&test::whole, 1}};
  const auto line = written(labels, readings);
  const std::string start = "wireguard_thing";
  const std::string rest = std::string(" whole=1i") + end;
  EXPECT_TRUE(line.starts_with(start) && line.ends_with(rest)) << line;
  return line.substr(start.size(), line.size() - start.size() - rest.size());
}

std::string field(const Metric& metric, const Value& value, Unsigned how = Unsigned::kept) {
  const Reading readings[] = {{&metric, value}};
  const auto line = written({}, readings, how);
  const std::string start = "wireguard_thing ";
  if (line.empty()) return {};
  EXPECT_TRUE(line.starts_with(start) && line.ends_with(end)) << line;
  return line.substr(start.size(), line.size() - start.size() - std::string_view(end).size());
}

TEST(LineProtocol, IsMeasurementTagsFieldsAndNanoseconds) {
  const Label labels[] = {{&device_label, "wg0"}, {&test::site_label, "berlin"}};
  const Reading readings[] = {{&test::whole, -1},
                              {&test::total, 2u},
                              {&test::real, 0.5},
                              {&test::flag, true},
                              {&test::words, "up"}};
  EXPECT_EQ(written(labels, readings),
            "wireguard_thing,device=wg0,site=berlin "
            "whole=-1i,total=2u,real=0.5,flag=true,words=\"up\" 1709208000123456789\n");
}

TEST(LineProtocol, EscapesTagValues) {
  const struct {
    const char* what;
    std::string_view value, tag;
  } cases[] = {
      {"plain", "berlin", ",site=berlin"},
      {"a blank", "my laptop", ",site=my\\ laptop"},
      {"a comma", "a,b", ",site=a\\,b"},
      {"an equals sign", "a=b", ",site=a\\=b"},
      {"all of them, alone", ", =", ",site=\\,\\ \\="},
      {"a key", "xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg=",
       ",site=xTIBA5rboUvnH4htodjb6e697QjLERt1NAB4mZqp8Dg\\="},
      {"quotes stay", "\"a\"", ",site=\"a\""},
      {"a backslash in the middle stays", "C:\\temp", ",site=C:\\temp"},
      {"two of them stay", "C:\\\\temp", ",site=C:\\\\temp"},
      {"a backslash at the end", "C:\\", ",site=C:_"},
      {"two of them at the end", "C:\\\\", ",site=C:\\_"},
      {"nothing but a backslash", "\\", ",site=_"},
      {"a backslash before a blank", "a\\ b", ",site=a_\\ b"},
      {"a backslash before a comma", "a\\,b", ",site=a_\\,b"},
      {"a backslash before an equals sign", "a\\=b", ",site=a_\\=b"},
      {"two of them before a blank", "a\\\\ b", ",site=a\\_\\ b"},
      {"a backslash before a quote", "a\\\"b", ",site=a_\"b"},
      {"UTF-8", "caf\xc3\xa9 \xe2\x82\xac", ",site=caf\xc3\xa9\\ \xe2\x82\xac"},
      {"empty is no tag", "", ""},
  };
  for (const auto& test : cases) EXPECT_EQ(tag(test.value), test.tag) << test.what;
}

TEST(LineProtocol, WritesIntegersExactly) {
  EXPECT_EQ(field(test::whole, std::int64_t{INT64_MIN}), "whole=-9223372036854775808i");
  EXPECT_EQ(field(test::whole, std::int64_t{INT64_MAX}), "whole=9223372036854775807i");
  EXPECT_EQ(field(test::total, std::uint64_t{UINT64_MAX}), "total=18446744073709551615u");
  EXPECT_EQ(field(test::total, 0u), "total=0u");
}

TEST(LineProtocol, ClipsUnsignedNumbersWhereTheyAreRefused) {
  EXPECT_EQ(field(test::total, 7u, Unsigned::clipped), "total=7i");
  EXPECT_EQ(field(test::total, std::uint64_t{INT64_MAX}, Unsigned::clipped),
            "total=9223372036854775807i");
  EXPECT_EQ(field(test::total, std::uint64_t{INT64_MAX} + 1, Unsigned::clipped),
            "total=9223372036854775807i");
  EXPECT_EQ(field(test::total, std::uint64_t{UINT64_MAX}, Unsigned::clipped),
            "total=9223372036854775807i");
}

TEST(LineProtocol, WritesFloatsAsTheParsersTakeThem) {
  EXPECT_EQ(field(test::real, 1.0), "real=1");
  EXPECT_EQ(field(test::real, -0.125), "real=-0.125");
  EXPECT_EQ(field(test::real, 1e100), "real=1e+100");
}

TEST(LineProtocol, WritesTruths) {
  EXPECT_EQ(field(test::flag, true), "flag=true");
  EXPECT_EQ(field(test::flag, false), "flag=false");
}

TEST(LineProtocol, EscapesTexts) {
  const struct {
    const char* what;
    std::string_view value, field;
  } cases[] = {
      {"plain", "a b,c=d", "words=\"a b,c=d\""},
      {"empty", "", "words=\"\""},
      {"quotes", "say \"hi\"", "words=\"say \\\"hi\\\"\""},
      {"a backslash", "C:\\temp", "words=\"C:\\\\temp\""},
      {"a backslash at the end", "C:\\", "words=\"C:\\\\\""},
      {"a backslash and a quote", "\\\"", "words=\"\\\\\\\"\""},
      {"line ends", "a\nb\r\nc", "words=\"a b  c\""},
  };
  for (const auto& test : cases) EXPECT_EQ(field(test::words, test.value), test.field) << test.what;
}

TEST(LineProtocol, LeavesOutWhatIsNoNumber) {
  const Reading readings[] = {{&test::real, test::not_a_number},
                              {&test::other, test::infinite},
                              {&test::whole, 1},
                              {&test::real, -test::infinite},
                              {&test::total, 2u}};
  EXPECT_EQ(written({}, readings), std::string("wireguard_thing whole=1i,total=2u") + end);
}

TEST(LineProtocol, LeavesOutALineWithoutFields) {
  EXPECT_EQ(field(test::real, test::not_a_number), "");
  EXPECT_EQ(field(test::real, test::infinite), "");
  EXPECT_EQ(written({}, {}), "");
}

TEST(LineProtocol, KeepsTheLinesBeforeOneThatIsLeftOut) {
  std::string text;
  LineProtocol sink(text, Unsigned::kept);
  sink.begin(test::leap_day());
  const Label labels[] = {{&device_label, "wg0"}};
  const Reading good[] = {{&test::whole, 1}};
  const Reading none[] = {{&test::real, test::not_a_number}};
  sink.take(Record{things, labels, good});
  sink.take(Record{things, labels, none});
  sink.take(Record{things, labels, good});
  const std::string line = std::string("wireguard_thing,device=wg0 whole=1i") + end;
  EXPECT_EQ(text, line + line);
}

TEST(LineProtocol, TellsEventsInTwoLines) {
  std::string text;
  LineProtocol sink(text, Unsigned::kept);
  sink.begin(test::leap_day());
  const Label labels[] = {{&device_label, "wg0"}};
  sink.take(Event{"link", Severity::failure, labels, "up", "down", "it \"fell\""});
  EXPECT_EQ(text, std::string("wireguard_event,device=wg0,event=link severity=1i") + end +
                      "wireguard_event,device=wg0,event=link "
                      "message=\"it \\\"fell\\\"\",from=\"up\",to=\"down\"" +
                      end);
}

}  // namespace
}  // namespace wgvitals::output
