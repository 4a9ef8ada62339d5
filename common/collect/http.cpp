// Web servers: do they answer as expected, and how long is their certificate good. As Telegraf's
// inputs.http_response.

#include "common/probe/http.h"

#include <array>
#include <charconv>
#include <tuple>
#include <utility>

#include "common/base/text.h"
#include "common/collect/services.h"
#include "common/model/label_names.h"

namespace wgvitals::collect {
namespace {

using config::BlockKind;
using config::Option;
using config::Settings;
using config::Takes;
using probe::HttpOutcome;
using probe::HttpTarget;

// 1. What is said. Names and types of the fields marked =T are Telegraf's.

constexpr LabelName server_label{"server"};
constexpr LabelName method_label{"method"};
constexpr LabelName result_label{"result", "", false};
constexpr LabelName status_label{"status_code", "", false};
constexpr const LabelName* labels[] = {&server_label, &method_label, &device_label, &result_label,
                                       &status_label};
constexpr Place places[] = {{"wireguard", &device_label}, {"wireguard"}};

constexpr Metric response_time{"response_time",
                               Type::f64,
                               Kind::gauge,
                               Unit::seconds,
                               "Until the headers of the answer were there, with all redirects; "
                               "the look-up of names is no part",
                               {},
                               {},
                               true};
constexpr Metric result_code{"result_code",
                             Type::i64,
                             Kind::gauge,
                             Unit::none,
                             "0 success, 1 response_string_mismatch, 2 body_read_error, "
                             "3 connection_failed, 4 timeout, 5 dns_error, "
                             "6 response_status_code_mismatch",
                             {},
                             {},
                             true};
constexpr Metric result_type{"result_type",         Type::text, Kind::gauge, Unit::none,
                             "The same, as a word", {},         {},          true};
constexpr Metric response_code{"http_response_code",   Type::i64, Kind::gauge, Unit::none,
                               "Status of the answer", {},        {},          true};
constexpr Metric content_length{"content_length",
                                Type::i64,
                                Kind::gauge,
                                Unit::bytes,
                                "Size of the body that came",
                                {},
                                {},
                                true};
constexpr Metric string_match{"response_string_match",         Type::i64, Kind::gauge, Unit::truth,
                              "The body has what is expected", {},        {},          true};
constexpr Metric status_match{"response_status_code_match",     Type::i64, Kind::gauge, Unit::truth,
                              "The status is the one expected", {},        {},          true};
constexpr Metric connect_ms{"connect_ms", Type::f64, Kind::gauge, Unit::milliseconds,
                            "Until the TCP connection of the last request stood"};
constexpr Metric tls_ms{"tls_ms", Type::f64, Kind::gauge, Unit::milliseconds,
                        "From there until TLS stood"};
constexpr Metric first_byte_ms{"first_byte_ms", Type::f64, Kind::gauge, Unit::milliseconds,
                               "From the start of the last request until its answer began"};
constexpr Metric certificate_expiry{"certificate_expiry_s", Type::i64, Kind::gauge, Unit::seconds,
                                    "Time that the server's certificate is still good. With one "
                                    "that has expired there is no connection (result_type), but "
                                    "with insecure_skip_verify: then it is less than 0"};
constexpr const Metric* metrics[] = {
    &response_time, &result_code, &result_type, &response_code, &content_length,    &string_match,
    &status_match,  &connect_ms,  &tls_ms,      &first_byte_ms, &certificate_expiry};
constexpr Family family{"http_response", "Web servers", metrics, labels, places};
constexpr const Family* families[] = {&family};

constexpr Option url{"url", Takes::texts, "",    "http:// and https:// URLs to ask for", 0,
                     0,     "",           "urls"};
constexpr Option method{"method", Takes::text, "GET", "Method of the request"};
constexpr Option body{"body", Takes::text, "", "Body of the request"};
constexpr Option headers{"headers",
                         Takes::pairs,
                         "",
                         "Headers of the request: headers.Host = \"example.org\"; collectd: Header "
                         "\"Host\" \"example.org\"",
                         0,
                         0,
                         "",
                         "header"};
constexpr Option follow_redirects{"follow_redirects", Takes::truth, "false",
                                  "Goes where the answer points to, at most ten times"};
constexpr Option timeout{
    "response_timeout", Takes::duration, "5s", "Longest time for everything", 10, 60'000, "",
    "timeout"};
constexpr Option expect{"response_string_match", Takes::text, "",
                        "POSIX extended regular expression that the body matches somewhere in its "
                        "first 256 KiB; empty: any body"};
constexpr Option expect_status{
    "response_status_code", Takes::whole, "0", "Status that is expected; 0: any", 0, 999};
constexpr Option skip_verify{"insecure_skip_verify", Takes::truth, "false",
                             "Takes any certificate for good"};
constexpr Option tls_ca{"tls_ca", Takes::text, "",
                        "File of certificates that vouch for the server's; empty: the system's"};
constexpr const Option* block_options[] = {
    &url,          &method,     &body,          &headers,      &follow_redirects, &probe_interval,
    &timeout,      &expect,     &expect_status, &skip_verify,  &tls_ca,           &probe_source,
    &probe_device, &probe_mark, &probe_family,  &probe_slowest};
constexpr BlockKind http_block{"http", "Web servers to probe, with what they share", block_options};
constexpr const BlockKind* blocks[] = {&http_block};

// 2. From values to values, from values to records.

constexpr std::array<std::string_view, 7> words = {
    "success",   "response_string_mismatch",     "body_read_error", "connection_failed", "timeout",
    "dns_error", "response_status_code_mismatch"};

struct Shown {
  std::string server, method, device;
  const std::string& written() const { return server; }
  bool operator<(const Shown& other) const {
    return std::tie(server, method, device) < std::tie(other.server, other.method, other.device);
  }
};

// RFC 9110: a token.
bool is_token(std::string_view text) {
  constexpr std::string_view others = "!#$%&'*+-.^_`|~";
  return !text.empty() && std::all_of(text.begin(), text.end(), [&](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           others.find(c) != std::string_view::npos;
  });
}

void emit_outcome(const Shown& shown, const HttpOutcome& outcome, Sink& sink) {
  const auto code = static_cast<std::size_t>(outcome.kind);
  const auto status = outcome.status == 0 ? "" : std::to_string(outcome.status);
  const Label label_values[] = {{&server_label, shown.server},
                                {&method_label, shown.method},
                                {&device_label, shown.device},
                                {&result_label, words[code]},
                                {&status_label, status}};
  Readings<std::size(metrics)> readings;
  if (outcome.status != 0) {
    readings.add(response_time, std::chrono::duration<double>(outcome.took).count());
  }
  readings.add(result_code, code);
  readings.add(result_type, words[code]);
  if (outcome.status != 0) {
    readings.add(response_code, std::int64_t{outcome.status});
    readings.add(content_length, outcome.body_bytes);
  }
  readings.add(string_match, outcome.string_match);
  readings.add(status_match, outcome.status_match);
  readings.add(connect_ms, outcome.connect_ms);
  readings.add(tls_ms, outcome.tls_ms);
  readings.add(first_byte_ms, outcome.first_byte_ms);
  readings.add(certificate_expiry, outcome.certificate_expiry_s);
  sink.take(Record{family, label_values, readings});
}

// 3. The collector.

struct HttpService {
  using Probes = probe::HttpProbes;
  using Target = HttpTarget;
  using Shown = collect::Shown;
  static constexpr const BlockKind& kind = http_block;
  static constexpr const Option& places = url;

  // What the targets of a block share.
  static std::optional<Target> to_target(const Settings& block, Mistakes& mistakes) {
    Target target;
    if (!set_path(block, target.path, mistakes)) return std::nullopt;
    target.family = to_family(block, target.path.source);
    target.pace = to_pace(block);
    target.timeout = block.duration(timeout);
    target.method = block.text(method);
    target.body = block.text(body);
    target.follow_redirects = block.truth(follow_redirects);
    target.verify = !block.truth(skip_verify);
    target.ca_file = block.text(tls_ca);
    target.expect_status = static_cast<long>(block.whole(expect_status));
    if (!is_token(target.method)) {
      mistakes.add(block, "method \"" + target.method + "\" is none");
      return std::nullopt;
    }
    if (!block.text(expect).empty()) {
      target.expect = to_pattern(block, expect, mistakes);
      if (!target.expect) return std::nullopt;
    }
    for (const auto& row : block.rows(headers)) {
      if (!is_token(row[0]) || row[1].find_first_of("\r\n") != std::string::npos) {
        mistakes.add(block, "header \"" + row[0] + "\" is none that HTTP knows");
        return std::nullopt;
      }
      target.headers.push_back(row[0] + (row[1].empty() ? ";" : ": " + row[1]));
    }
    return target;
  }

  static Result<Shown> aim(const std::string& text, Target& target) {
    auto parsed = probe::parse_url(text);
    if (!parsed) return parsed.error();
    target.url = text;
    return Shown{std::move(parsed->shown), target.method, target.path.device};
  }

  static constexpr auto emit = emit_outcome;
};

}  // namespace

extern const Entry http;
const Entry http{
    {"http", Takes::truth, "true", "Web servers (http blocks)", 0, 0, "", "http_enabled"},
    families,
    {},
    make_service_collector<HttpService>,
    blocks};

}  // namespace wgvitals::collect
