// Web servers: do they answer, with the status and the text that are expected, and for how long is
// their certificate good. As Telegraf's http_response (plugins/inputs/http_response/
// http_response.go), but many at once, by libcurl, which never resolves a name here.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/model/address.h"
#include "common/model/selection.h"
#include "common/probe/loop.h"
#include "common/probe/resolver.h"
#include "common/probe/rounds.h"
#include "common/probe/tcp.h"

namespace wgvitals::probe {

struct Url {
  std::string host;  // an IPv6 address without its brackets
  std::uint16_t port = 0;
  std::string shown;  // the whole without user and password
};

// "http://..." or "https://..."; malformed for anything else. No message shows a password.
Result<Url> parse_url(std::string_view text);

// libcurl's words for the end of a certificate, "Nov 21 16:14:26 2027 GMT" or "2027-11-21 16:14:26
// GMT", as seconds since 1970.
std::optional<std::int64_t> parse_expiry(std::string_view text);

struct HttpTarget {
  std::string url;
  std::string method = "GET";
  std::string body;
  std::vector<std::string> headers;  // "Name: value"
  bool follow_redirects = false;
  bool verify = true;   // the server's certificate and name
  std::string ca_file;  // empty: the system's
  AddressFamily family = AddressFamily::none;
  SocketPath path;
  Pace pace;
  std::chrono::milliseconds timeout{5000};  // of everything
  std::optional<Pattern> expect;            // of the body's first longest_match bytes
  long expect_status = 0;                   // 0: any
};

constexpr std::size_t longest_match = 262'144;
constexpr std::int64_t longest_body = 33'554'432;  // Telegraf's; longer is a body_read_error

struct HttpOutcome {
  enum class Kind : std::uint8_t {  // numbers and order are Telegraf's
    success,
    string_mismatch,
    body_read_error,
    connection_failed,
    timeout,
    dns_error,
    status_mismatch,
  };
  Kind kind = Kind::success;
  long status = 0;  // 0: no answer, and nothing below
  // From the start, without the look-up of names, through all redirects, to the end of the headers.
  std::chrono::nanoseconds took{};
  std::int64_t body_bytes = 0;
  std::optional<bool> string_match, status_match;
  // Of the last request, where there was one: how long TCP and TLS took to connect, and when the
  // answer's first byte came, from the start.
  std::optional<double> connect_ms, tls_ms, first_byte_ms;
  // From now; less than 0: expired, which fails to connect where it is verified.
  std::optional<std::int64_t> certificate_expiry_s;
};

class HttpProbes {
 public:
  using Outcomes = Latest<HttpOutcome>::Outcomes;

  // As TcpProbes. A URL that parse_url() refuses fails for ever.
  HttpProbes(Loop& loop, Resolver& resolver, std::vector<HttpTarget> targets, double seed);
  ~HttpProbes();

  // Also loads libcurl, once. Throws as Loop::post().
  Result<Done> begin();
  void set_gather(std::chrono::nanoseconds gather);
  void take(Outcomes& into);
  std::vector<Error> wrong();

 private:
  class Core;
  Loop& loop_;
  std::shared_ptr<Core> core_;
  bool begun_ = false;
};

}  // namespace wgvitals::probe
