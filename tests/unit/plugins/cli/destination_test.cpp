#include "plugins/cli/destination.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace wgvitals::cli {
namespace {

using testing::HasSubstr;

TEST(Destination, IsAFileWhereItHasASlashOrNoHostIsMeant) {
  const struct {
    const char* format;
    const char* text;
  } cases[] = {{"prometheus", "/var/lib/prometheus/node-exporter/wgvitals.prom"},
               {"prometheus", "wgvitals.prom"},
               {"prometheus", "./odd:2003"},
               {"prometheus", "/odd:2003"},
               {"graphite", "./lines"},
               {"graphite", "/tmp/a:b/lines:2003"}};
  for (const auto& test : cases) {
    const auto destination = to_destination(test.text, test.format);
    ASSERT_TRUE(destination) << test.text;
    const auto* path = std::get_if<std::filesystem::path>(&*destination);
    ASSERT_NE(path, nullptr) << test.text;
    EXPECT_EQ(*path, test.text);
  }
}

TEST(Destination, IsACarbonsHostAndPort) {
  const struct {
    const char* text;
    Endpoint endpoint;
    const char* shown;
  } cases[] = {{"carbon.example:2003", {"carbon.example", 2003}, "carbon.example:2003"},
               {"127.0.0.1:1", {"127.0.0.1", 1}, "127.0.0.1:1"},
               {"[2001:db8::1]:65535", {"2001:db8::1", 65535}, "[2001:db8::1]:65535"},
               {"[fe80::1%eth0]:2003", {"fe80::1%eth0", 2003}, "[fe80::1%eth0]:2003"},
               {"[carbon]:2003", {"carbon", 2003}, "carbon:2003"}};
  for (const auto& test : cases) {
    const auto destination = to_destination(test.text, "graphite");
    ASSERT_TRUE(destination) << test.text;
    const auto* endpoint = std::get_if<Endpoint>(&*destination);
    ASSERT_NE(endpoint, nullptr) << test.text;
    EXPECT_EQ(*endpoint, test.endpoint) << test.text;
    EXPECT_EQ(to_text(*endpoint), test.shown);
  }
}

TEST(Destination, IsRefusedWithWhatMendsIt) {
  const struct {
    const char* format;
    const char* text;
    const char* why;
  } cases[] = {{"prometheus", "localhost:9100", "node_exporter's textfile folder"},
               {"prometheus", "[::1]:9100", "node_exporter's textfile folder"},
               {"prometheus", "", "names no file"},
               {"prometheus", "/var/lib/prometheus/", "names no file"},
               {"graphite", "", "names no file"},
               {"graphite", "carbon.example", "has no port: write HOST:2003"},
               {"graphite", "carbon.example:", "has no port from 1 to 65535"},
               {"graphite", "carbon.example:graphite", "has no port from 1 to 65535"},
               {"graphite", "carbon.example:0", "has no port from 1 to 65535"},
               {"graphite", "carbon.example:65536", "has no port from 1 to 65535"},
               {"graphite", "carbon.example:-1", "has no port from 1 to 65535"},
               {"graphite", ":2003", "names no host"},
               {"graphite", "[]:2003", "names no host"},
               {"graphite", "2001:db8::1:2003", "stands in brackets"},
               {"graphite", "[2001:db8::1:2003", "stands in brackets"}};
  for (const auto& test : cases) {
    const auto destination = to_destination(test.text, test.format);
    ASSERT_FALSE(destination) << test.text;
    EXPECT_EQ(destination.error().code, Errc::malformed);
    EXPECT_THAT(destination.error().where, HasSubstr(test.why));
    EXPECT_THAT(destination.error().where, HasSubstr(test.text));
  }
}

}  // namespace
}  // namespace wgvitals::cli
