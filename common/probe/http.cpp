#include "common/probe/http.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <exception>
#include <type_traits>
#include <utility>

#include "common/base/text.h"
#include "common/probe/curl.h"

namespace wgvitals::probe {
namespace {

using std::chrono::duration_cast;
using std::chrono::milliseconds;
using Kind = HttpOutcome::Kind;

constexpr milliseconds least_share(2000);  // of the timeout, for one address of several
constexpr milliseconds resolver_poll(20);
constexpr int most_redirects = 10;  // Go's

bool is_redirect(long status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

// What is said to one host only.
bool is_confidential(std::string_view header) {
  const auto name = header.substr(0, header.find(':'));
  return text::equal_ignoring_case(name, "Authorization") ||
         text::equal_ignoring_case(name, "Cookie") ||
         text::equal_ignoring_case(name, "WWW-Authenticate");
}

bool names(const std::vector<std::string>& headers, std::string_view name) {
  return std::any_of(headers.begin(), headers.end(), [&](const std::string& header) {
    return text::equal_ignoring_case(std::string_view(header).substr(0, header.find(':')), name);
  });
}

}  // namespace

// On the loop's thread, but for what is Latest's and set_gather().
class HttpProbes::Core {
 public:
  Core(Loop& loop, Resolver& resolver, std::vector<HttpTarget> targets, double seed)
      : loop_(loop),
        resolver_(resolver),
        targets_(std::move(targets)),
        attempts_(targets_.size()),
        latest_(targets_.size()),
        rounds_(
            loop, to_paces(targets_), seed, [this](std::size_t target) { start(target); },
            Rounds::Takes::place) {}
  Core(const Core&) = delete;
  ~Core() {  // of a loop that has ended
    silent_ = true;
    close_all();
  }

  void begin(std::shared_ptr<const Curl> curl) {
    curl_ = std::move(curl);
    multi_ = curl_->multi_init();
    (void)curl_->multi_setopt(multi_, CURLMOPT_SOCKETFUNCTION, on_socket);
    (void)curl_->multi_setopt(multi_, CURLMOPT_SOCKETDATA, this);
    (void)curl_->multi_setopt(multi_, CURLMOPT_TIMERFUNCTION, on_timer);
    (void)curl_->multi_setopt(multi_, CURLMOPT_TIMERDATA, this);
    rounds_.begin();
  }
  void end() {
    rounds_.end();
    for (auto& attempt : attempts_) loop_.cancel(std::exchange(attempt.timer, 0));
    close_all();
    loop_.cancel(std::exchange(timer_, 0));
  }
  void set_gather(std::chrono::nanoseconds gather) { rounds_.set_gather(gather); }
  void take(Outcomes& into) { latest_.take(into); }
  std::vector<Error> wrong() { return latest_.wrong(); }

 private:
  // One probe, of one or, with redirects, several requests.
  struct Attempt {
    Core* core = nullptr;
    CURL* easy = nullptr;  // kept for the next probe
    curl_slist *headers = nullptr, *connect_to = nullptr;
    bool running = false;  // within multi_
    Loop::TimerId timer = 0;
    Clock::time_point deadline;
    Clock::duration before{};         // of the requests before this one
    Clock::time_point request_start;  // of this one
    std::string url;
    Url place;               // of `url`
    bool first_host = true;  // `url` is still where the target's is
    bool plain = false;      // by GET, without the body: as a redirect asks for
    int redirects = 0;
    std::vector<Endpoint> addresses;
    std::size_t next = 0;
    std::optional<Kind> first;     // why the first address failed
    std::optional<Error> trouble;  // why there was no socket
    std::optional<Error> wrong;    // for the administrator
    bool answered = false;         // the headers are here
    HttpOutcome outcome;
    std::string body;  // its begin, where that is looked at
  };

  void start(std::size_t number) {
    auto& attempt = attempts_[number];
    auto* easy = attempt.easy;
    attempt = Attempt();
    attempt.core = this;
    attempt.easy = easy != nullptr ? easy : curl_->easy_init();
    attempt.deadline = Clock::now() + targets_[number].timeout;
    attempt.url = targets_[number].url;
    request(number);
  }

  void request(std::size_t number) {
    auto& attempt = attempts_[number];
    auto place = parse_url(attempt.url);
    if (!place || attempt.easy == nullptr) return finish(number, Kind::connection_failed);
    attempt.place = std::move(*place);
    attempt.answered = false;
    resolve(number);
  }

  void resolve(std::size_t number) {
    auto& attempt = attempts_[number];
    const auto now = Clock::now();
    auto answer = resolver_.find(attempt.place.host, targets_[number].family);
    using State = Resolver::Answer::State;
    if (answer.state == State::failed) attempt.wrong = Error{Errc::io, 0, answer.why};
    if (answer.address.family == AddressFamily::none) {
      if (answer.state == State::failed) return finish(number, Kind::dns_error);
      if (now >= attempt.deadline) return finish(number, Kind::timeout);
      attempt.timer = loop_.at(std::min(now + resolver_poll, attempt.deadline),
                               [this, number] { resolve(number); });
      return;
    }
    attempt.request_start = now;
    attempt.addresses = std::move(answer.others);
    attempt.addresses.insert(attempt.addresses.begin(), answer.address);
    attempt.next = 0;
    attempt.first.reset();
    connect_next(number);
  }

  void connect_next(std::size_t number) {
    auto& attempt = attempts_[number];
    const auto left = duration_cast<milliseconds>(attempt.deadline - Clock::now());
    if (attempt.next == attempt.addresses.size() || left.count() <= 0) {
      return finish(number, attempt.first.value_or(Kind::timeout));
    }
    const auto addresses = static_cast<long>(attempt.addresses.size() - attempt.next);
    auto* easy = attempt.easy;
    curl_->easy_reset(easy);
    set(easy, CURLOPT_TIMEOUT_MS, static_cast<long>(left.count()));
    if (addresses > 1) {
      const auto share = std::max<long>(left.count() / addresses, least_share.count());
      set(easy, CURLOPT_CONNECTTIMEOUT_MS, std::min<long>(share, left.count()));
    }
    set_connection(targets_[number], attempt);
    set_request(targets_[number], attempt);
    attempt.running = curl_->multi_add_handle(multi_, easy) == CURLM_OK;
    if (!attempt.running) finish(number, Kind::connection_failed);
  }

  template <class T>
  void set(CURL* easy, CURLoption option, T value) const {
    static_assert(std::is_same_v<T, long> || std::is_pointer_v<T>, "what libcurl takes");
    (void)curl_->easy_setopt(easy, option, value);
  }

  void set_list(CURL* easy, CURLoption option, curl_slist*& list,
                const std::vector<std::string>& texts) const {
    if (list != nullptr) curl_->slist_free_all(list);
    list = nullptr;
    for (const auto& text : texts) list = curl_->slist_append(list, text.c_str());
    set(easy, option, list);
  }

  // Anew each time, so that its times and its certificate are told; by no proxy of the environment;
  // to the address that we resolved, whatever the URL says: libcurl looks up no name.
  void set_connection(const HttpTarget& target, Attempt& attempt) const {
    auto* easy = attempt.easy;
    char text[longest_endpoint];
    auto address = attempt.addresses[attempt.next++];
    const std::string host(to_address_text(address, text));
    const auto scope = address.scope != 0 ? "%" + std::to_string(address.scope) : "";
    set_list(
        easy, CURLOPT_CONNECT_TO, attempt.connect_to,
        {address.family == AddressFamily::ipv6 ? "::[" + host + scope + "]:" : "::" + host + ":"});
    set(easy, CURLOPT_URL, attempt.url.c_str());
    set(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    set(easy, CURLOPT_PATH_AS_IS, 1L);
    set(easy, CURLOPT_PROXY, "");
    set(easy, CURLOPT_NOSIGNAL, 1L);
    set(easy, CURLOPT_FRESH_CONNECT, 1L);
    set(easy, CURLOPT_FORBID_REUSE, 1L);
    set(easy, CURLOPT_SSL_SESSIONID_CACHE, 0L);
    set(easy, CURLOPT_CERTINFO, 1L);
    set(easy, CURLOPT_SSL_VERIFYPEER, target.verify ? 1L : 0L);
    set(easy, CURLOPT_SSL_VERIFYHOST, target.verify ? 2L : 0L);
    if (!target.ca_file.empty()) set(easy, CURLOPT_CAINFO, target.ca_file.c_str());
    set(easy, CURLOPT_OPENSOCKETFUNCTION, on_open);
    set(easy, CURLOPT_OPENSOCKETDATA, &attempt);
    set(easy, CURLOPT_PRIVATE, static_cast<void*>(&attempt));
  }

  void set_request(const HttpTarget& target, Attempt& attempt) const {
    auto* easy = attempt.easy;
    std::vector<std::string> headers;
    for (const auto& header : target.headers) {
      const bool host = text::equal_ignoring_case(header.substr(0, header.find(':')), "Host");
      if (attempt.first_host || !(host || is_confidential(header))) headers.push_back(header);
    }
    if (target.method == "HEAD") {
      set(easy, CURLOPT_NOBODY, 1L);
    } else if (!target.body.empty() && !attempt.plain) {
      set(easy, CURLOPT_POSTFIELDSIZE, static_cast<long>(target.body.size()));
      set(easy, CURLOPT_POSTFIELDS, target.body.c_str());
      if (!names(headers, "Content-Type")) headers.emplace_back("Content-Type:");  // none
      headers.emplace_back("Expect:");
    }
    if (target.method != "HEAD") {
      set(easy, CURLOPT_CUSTOMREQUEST, attempt.plain ? "GET" : target.method.c_str());
    }
    set(easy, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
    set(easy, CURLOPT_USERAGENT, "wgvitals");
    set_list(easy, CURLOPT_HTTPHEADER, attempt.headers, headers);
    set(easy, CURLOPT_HEADERFUNCTION, on_header);
    set(easy, CURLOPT_HEADERDATA, &attempt);
    set(easy, CURLOPT_WRITEFUNCTION, on_body);
    set(easy, CURLOPT_WRITEDATA, &attempt);
  }

  template <class T>
  T info(CURL* easy, CURLINFO which) const {
    T value{};
    (void)curl_->easy_getinfo(easy, which, &value);
    return value;
  }

  // A request is over.
  void ended(Attempt& attempt, CURLcode code) {
    const auto number = static_cast<std::size_t>(&attempt - attempts_.data());
    attempt.running = false;
    if (attempt.trouble) {
      auto trouble = *std::exchange(attempt.trouble, std::nullopt);
      trouble.where.insert(0, attempt.place.shown + ": ");
      if (trouble.code != Errc::io) return put_off(number, std::move(trouble));
      attempt.wrong = std::move(trouble);
      code = CURLE_COULDNT_CONNECT;
    }
    if (!attempt.answered) return failed(number, code);

    const auto status = info<long>(attempt.easy, CURLINFO_RESPONSE_CODE);
    const char* target = info<char*>(attempt.easy, CURLINFO_REDIRECT_URL);
    if (targets_[number].follow_redirects && is_redirect(status) && target != nullptr) {
      return redirect(number, status, target);
    }
    attempt.outcome.status = status;
    measure(attempt);
    judge(number, code);
  }

  void failed(std::size_t number, CURLcode code) {
    auto& attempt = attempts_[number];
    const bool late = code == CURLE_OPERATION_TIMEDOUT ||
                      info<long>(attempt.easy, CURLINFO_OS_ERRNO) == ETIMEDOUT;
    if (!attempt.first) attempt.first = late ? Kind::timeout : Kind::connection_failed;
    if (late || code == CURLE_COULDNT_CONNECT) return connect_next(number);
    if (code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE) {
      attempt.wrong = Error{Errc::io, 0, attempt.place.shown + ": " + curl_->easy_strerror(code)};
    }
    finish(number, *attempt.first);
  }

  void redirect(std::size_t number, long status, const char* to) {
    auto& attempt = attempts_[number];
    if (++attempt.redirects > most_redirects) return finish(number, Kind::connection_failed);
    attempt.before += Clock::now() - attempt.request_start;
    if (status <= 303) attempt.plain = targets_[number].method != "HEAD";
    const auto before = attempt.place;
    attempt.url = to;
    attempt.body.clear();
    attempt.outcome = {};
    if (const auto place = parse_url(attempt.url);
        !place || place->host != before.host || place->port != before.port) {
      attempt.first_host = false;
    }
    request(number);
  }

  // What libcurl says of the last request.
  void measure(Attempt& attempt) const {
    const auto to_ms = [](curl_off_t microseconds) {
      return static_cast<double>(microseconds) / 1000;
    };
    auto* easy = attempt.easy;
    auto& outcome = attempt.outcome;
    const auto connected = info<curl_off_t>(easy, CURLINFO_CONNECT_TIME_T);
    const auto secured = info<curl_off_t>(easy, CURLINFO_APPCONNECT_TIME_T);
    outcome.connect_ms = to_ms(connected);
    if (secured > connected) outcome.tls_ms = to_ms(secured - connected);
    outcome.first_byte_ms = to_ms(info<curl_off_t>(easy, CURLINFO_STARTTRANSFER_TIME_T));
    const auto* certificates = info<curl_certinfo*>(easy, CURLINFO_CERTINFO);
    if (certificates == nullptr || certificates->num_of_certs < 1) return;
    constexpr std::string_view prefix = "Expire date:";
    for (const auto* line = certificates->certinfo[0]; line != nullptr; line = line->next) {
      const std::string_view text(line->data);
      if (!text.starts_with(prefix)) continue;
      if (const auto expiry = parse_expiry(text.substr(prefix.size()))) {
        using std::chrono::system_clock;
        const auto now = system_clock::now().time_since_epoch();
        outcome.certificate_expiry_s = *expiry - duration_cast<std::chrono::seconds>(now).count();
      }
    }
  }

  // As Telegraf does; where both differ from what is expected, the status is told.
  void judge(std::size_t number, CURLcode code) {
    const auto& target = targets_[number];
    auto& attempt = attempts_[number];
    auto& outcome = attempt.outcome;
    if (code != CURLE_OK) {
      if (target.expect) outcome.string_match = false;
      return finish(number, Kind::body_read_error);
    }
    auto kind = Kind::success;
    if (target.expect) {
      std::replace(attempt.body.begin(), attempt.body.end(), '\0', ' ');
      outcome.string_match = target.expect->matches(attempt.body);
      if (!*outcome.string_match) kind = Kind::string_mismatch;
    }
    if (target.expect_status != 0) {
      outcome.status_match = outcome.status == target.expect_status;
      if (!*outcome.status_match) kind = Kind::status_mismatch;
    }
    finish(number, kind);
  }

  void finish(std::size_t number, Kind kind) {
    auto& attempt = attempts_[number];
    if (attempt.outcome.status == 0) attempt.outcome = HttpOutcome();
    attempt.outcome.kind = kind;
    latest_.put(number, attempt.outcome, std::move(attempt.wrong));
    const bool alive = attempt.outcome.status != 0;
    release(attempt);
    rounds_.done(number, alive);
  }

  void put_off(std::size_t number, Error wrong) {
    latest_.put_off(number, std::move(wrong));
    release(attempts_[number]);
    rounds_.put_off(number);
  }

  void release(Attempt& attempt) const {
    for (auto** list : {&attempt.headers, &attempt.connect_to}) {
      if (*list != nullptr) curl_->slist_free_all(std::exchange(*list, nullptr));
    }
    std::string().swap(attempt.body);
  }

  void close_all() {
    for (auto& attempt : attempts_) {
      if (attempt.easy == nullptr) continue;
      if (attempt.running) (void)curl_->multi_remove_handle(multi_, attempt.easy);
      curl_->easy_cleanup(std::exchange(attempt.easy, nullptr));
      attempt.running = false;
      release(attempt);
    }
    if (multi_ != nullptr) (void)curl_->multi_cleanup(std::exchange(multi_, nullptr));
  }

  void act(curl_socket_t socket, int what) {
    int running = 0;
    (void)curl_->multi_socket_action(multi_, socket, what, &running);
    int left = 0;
    while (const auto* message = curl_->multi_info_read(multi_, &left)) {
      if (message->msg != CURLMSG_DONE) continue;
      auto* easy = message->easy_handle;
      const auto code = message->data.result;
      (void)curl_->multi_remove_handle(multi_, easy);
      ended(*info<Attempt*>(easy, CURLINFO_PRIVATE), code);
    }
  }

  // What libcurl calls.
  static int on_socket(CURL*, curl_socket_t socket, int what, void* data, void*) try {
    auto& core = *static_cast<Core*>(data);
    if (core.silent_) return 0;
    if (what == CURL_POLL_REMOVE) {
      core.loop_.forget(socket);
      return 0;
    }
    const std::uint32_t events =
        ((what & CURL_POLL_IN) != 0 ? EPOLLIN : 0u) | ((what & CURL_POLL_OUT) != 0 ? EPOLLOUT : 0u);
    core.loop_.watch(socket, events, [&core, socket](std::uint32_t happened) {
      core.act(socket, ((happened & EPOLLIN) != 0 ? CURL_CSELECT_IN : 0) |
                           ((happened & EPOLLOUT) != 0 ? CURL_CSELECT_OUT : 0) |
                           ((happened & (EPOLLERR | EPOLLHUP)) != 0 ? CURL_CSELECT_ERR : 0));
    });
    return 0;
  } catch (const std::exception&) {
    return -1;
  }

  static int on_timer(CURLM*, long timeout_ms, void* data) try {
    auto& core = *static_cast<Core*>(data);
    if (core.silent_) return 0;
    core.loop_.cancel(std::exchange(core.timer_, 0));
    if (timeout_ms < 0) return 0;
    core.timer_ = core.loop_.at(Clock::now() + milliseconds(timeout_ms),
                                [&core] { core.act(CURL_SOCKET_TIMEOUT, 0); });
    return 0;
  } catch (const std::exception&) {
    return -1;
  }

  static curl_socket_t on_open(void* data, curlsocktype, curl_sockaddr* address) try {
    auto& attempt = *static_cast<Attempt*>(data);
    const auto& core = *attempt.core;
    const auto& target = core.targets_[static_cast<std::size_t>(&attempt - core.attempts_.data())];
    const int socket =
        ::socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
    if (socket < 0) {
      const bool shortage = is_shortage(errno);
      if (shortage) attempt.trouble = Error{Errc::interrupted, errno, "no socket"};
      return CURL_SOCKET_BAD;
    }
    if (const auto applied = apply(target.path, socket); !applied) {
      attempt.trouble = applied.error();
      (void)::close(socket);
      return CURL_SOCKET_BAD;
    }
    return socket;
  } catch (const std::exception&) {
    return CURL_SOCKET_BAD;
  }

  static std::size_t on_header(char* text, std::size_t, std::size_t size, void* data) {
    auto& attempt = *static_cast<Attempt*>(data);
    const std::string_view line(text, size);
    if (attempt.answered || (line != "\r\n" && line != "\n")) return size;
    if (attempt.core->info<long>(attempt.easy, CURLINFO_RESPONSE_CODE) < 200) return size;
    attempt.answered = true;
    attempt.outcome.took = attempt.before + (Clock::now() - attempt.request_start);
    return size;
  }

  static std::size_t on_body(char* bytes, std::size_t, std::size_t size, void* data) try {
    auto& attempt = *static_cast<Attempt*>(data);
    attempt.outcome.body_bytes += static_cast<std::int64_t>(size);
    attempt.body.append(bytes, std::min(size, longest_match - attempt.body.size()));
    return attempt.outcome.body_bytes > longest_body ? 0 : size;
  } catch (const std::exception&) {
    return 0;
  }

  Loop& loop_;
  Resolver& resolver_;
  std::shared_ptr<const Curl> curl_;
  CURLM* multi_ = nullptr;
  Loop::TimerId timer_ = 0;  // libcurl's
  bool silent_ = false;      // the loop is no more: libcurl's wishes are not passed on
  std::vector<HttpTarget> targets_;
  std::vector<Attempt> attempts_;
  Latest<HttpOutcome> latest_;
  Rounds rounds_;
};

HttpProbes::HttpProbes(Loop& loop, Resolver& resolver, std::vector<HttpTarget> targets, double seed)
    : loop_(loop), core_(std::make_shared<Core>(loop, resolver, std::move(targets), seed)) {}

// What the loop holds of it ends on the loop's thread, if that has not ended before.
HttpProbes::~HttpProbes() {
  if (begun_) loop_.post([core = core_] { core->end(); });
}

Result<Done> HttpProbes::begin() {
  if (begun_) return Done{};
  auto curl = Curl::load();
  if (!curl) return curl.error();
  loop_.post([core = core_, curl = *curl] { core->begin(curl); });
  begun_ = true;
  return Done{};
}
void HttpProbes::set_gather(std::chrono::nanoseconds gather) { core_->set_gather(gather); }
void HttpProbes::take(Outcomes& into) { core_->take(into); }
std::vector<Error> HttpProbes::wrong() { return core_->wrong(); }

}  // namespace wgvitals::probe
