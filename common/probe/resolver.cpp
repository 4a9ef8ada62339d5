#include "common/probe/resolver.h"

#include <netdb.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <exception>
#include <map>
#include <mutex>
#include <system_error>
#include <utility>

namespace wgvitals::probe {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;
using Addresses = std::vector<Endpoint>;

bool is_absence(int failure) {
  return failure == EAI_NONAME || failure == EAI_NODATA || failure == EAI_ADDRFAMILY;
}

std::string to_text(int failure) {
  if (is_absence(failure)) return "no such host";
  if (failure == EAI_SYSTEM) return std::generic_category().message(errno);
  return ::gai_strerror(failure);
}

int ask(const std::string& host, AddressFamily family, int flags, addrinfo** list) {
  addrinfo hints{};
  hints.ai_family = family == AddressFamily::ipv4   ? AF_INET
                    : family == AddressFamily::ipv6 ? AF_INET6
                                                    : AF_UNSPEC;
  hints.ai_socktype = SOCK_DGRAM;  // each address once
  hints.ai_flags = flags;
  return ::getaddrinfo(host.c_str(), nullptr, &hints, list);
}

Result<Addresses> look_up_by_system(const std::string& host, AddressFamily family) {
  addrinfo* list = nullptr;
  int failure = EAI_NONAME;
  // A family that this host cannot use is not asked for: some name servers never answer that. But
  // loopback's addresses are no sign of a family, and its names may be all that is wanted.
  if (family == AddressFamily::none) failure = ask(host, family, AI_ADDRCONFIG, &list);
  if (is_absence(failure)) failure = ask(host, family, 0, &list);
  if (failure != 0) {
    return Error{is_absence(failure) ? Errc::absent : Errc::io, 0, host + ": " + to_text(failure)};
  }
  Addresses addresses;
  for (const auto* entry = list; entry != nullptr; entry = entry->ai_next) {
    sockaddr_storage address{};
    std::memcpy(&address, entry->ai_addr, std::min<std::size_t>(entry->ai_addrlen, sizeof address));
    addresses.push_back(to_endpoint(address));
  }
  ::freeaddrinfo(list);
  return addresses;
}

std::string to_text(milliseconds time) {
  return time.count() % 1000 == 0 ? std::to_string(time.count() / 1000) + " s"
                                  : std::to_string(time.count()) + " ms";
}

Resolver::Answer failed(std::string why, bool no_such_host = false) {
  Resolver::Answer answer;
  answer.state = Resolver::Answer::State::failed;
  answer.why = std::move(why);
  answer.no_such_host = no_such_host;
  return answer;
}

}  // namespace

class Resolver::Shared : public std::enable_shared_from_this<Shared> {
 public:
  Shared(StartThread start_thread, LookUp look_up, const Habits& habits)
      : start_thread_(start_thread), look_up_(std::move(look_up)), habits_(habits) {}

  Answer find(const std::string& host, AddressFamily family) {
    const auto now = Clock::now();
    const std::lock_guard lock(mutex_);
    sweep(now);
    const Key key(host, family);
    auto found = names_.find(key);
    if (found == names_.end()) {
      if (names_.size() >= most_names) return failed(host + ": too many names");
      found = names_.try_emplace(key).first;
    }
    auto& name = found->second;
    name.wanted = now;
    if (name.taken && now - name.taken_at >= habits_.deadline && !name.overdue) {
      name.overdue = true;
      fail(name, host + ": no answer from the name servers within " + to_text(habits_.deadline),
           false, now);
    }
    if (!stopping_ && now >= name.next && may_ask(name, now)) ask_for(key, name, now);
    return name.answer;
  }

  void refresh(const std::string& host, AddressFamily family) {
    const std::lock_guard lock(mutex_);
    const auto found = names_.find(Key(host, family));
    if (found == names_.end()) return;
    found->second.next = {};
    found->second.keep = false;
  }

  void stop() {
    std::vector<std::unique_ptr<Worker>> workers;
    {
      const std::lock_guard lock(mutex_);
      stopping_ = true;
      jobs_.clear();
      workers.swap(workers_);
    }
    wanted_.notify_all();
    const auto until = Clock::now() + milliseconds(200);  // for all: who looks up may hang
    for (const auto& worker : workers) {
      const auto left = std::chrono::ceil<milliseconds>(until - Clock::now());
      (void)worker->thread.join(std::max(left, milliseconds(0)));
    }
  }

 private:
  using Key = std::pair<std::string, AddressFamily>;

  struct Name {
    Answer answer;
    Clock::time_point wanted;    // by a find
    Clock::time_point next;      // not asked for again before
    Clock::time_point taken_at;  // of the last question, by a thread
    std::uint64_t question = 0;  // its number
    std::uint64_t answered = 0;  // the latest question that was answered
    milliseconds pause{};        // behind the next failure
    bool asked = false;          // and not answered
    bool taken = false;          // and a thread is at it
    bool overdue = false;        // the question was counted as a failure
    bool keep = true;            // the address, as long as the name has it
  };

  struct Job {
    Key key;
    std::uint64_t question;
  };

  struct Worker {
    Thread thread;
    bool ended = false;
  };

  bool may_ask(const Name& name, Clock::time_point now) const {
    return !name.asked || (name.overdue && now - name.taken_at >= habits_.given_up);
  }

  void ask_for(const Key& key, Name& name, Clock::time_point now) {
    name.asked = true;
    name.taken = false;
    name.overdue = false;
    name.question = ++last_question_;
    jobs_.push_back({key, name.question});
    if (jobs_.size() > idle_) start_worker(key, name, now);
    wanted_.notify_one();
  }

  void start_worker(const Key& key, Name& name, Clock::time_point now) {
    std::erase_if(workers_, [](const auto& worker) {
      return worker->ended && worker->thread.join(milliseconds(1000));
    });
    if (workers_.size() >= most_threads) return;
    auto worker = std::make_unique<Worker>();
    try {
      worker->thread.start(start_thread_, "wgv-resolver",
                           [self = shared_from_this(), worker = worker.get()] {
                             try {
                               self->work(*worker);
                             } catch (...) {  // out of memory: as one that hangs
                             }
                           });
      workers_.push_back(std::move(worker));
    } catch (const std::system_error& error) {
      if (!workers_.empty()) return;  // one of them will come to it
      jobs_.pop_back();
      name.asked = false;
      fail(name, key.first + ": cannot start a thread to resolve it: " + error.code().message(),
           false, now);
    }
  }

  // A thread.
  void work(Worker& worker) {
    std::unique_lock lock(mutex_);
    while (true) {
      ++idle_;
      const bool wanted =
          wanted_.wait_for(lock, habits_.idle, [&] { return stopping_ || !jobs_.empty(); });
      --idle_;
      if (stopping_) return;  // nobody touches the worker any more, it may be gone
      if (!wanted) break;
      const auto job = std::move(jobs_.front());
      jobs_.pop_front();
      const auto start = Clock::now();
      begin(job, start);
      lock.unlock();
      auto addresses = look_up(job.key);
      lock.lock();
      if (stopping_) return;
      take(job, addresses, start);
    }
    worker.ended = true;
  }

  // From now on its name servers may be blamed, and not our queue.
  void begin(const Job& job, Clock::time_point now) {
    const auto found = names_.find(job.key);
    if (found == names_.end() || job.question != found->second.question) return;
    found->second.taken = true;
    found->second.taken_at = now;
  }

  Result<Addresses> look_up(const Key& key) const {
    try {
      return look_up_(key.first, key.second);
    } catch (const std::exception& error) {
      return Error{Errc::io, 0, key.first + ": " + error.what()};
    }
  }

  void take(const Job& job, Result<Addresses>& addresses, Clock::time_point start) {
    const auto found = names_.find(job.key);
    if (found == names_.end()) return;  // forgotten
    auto& name = found->second;
    if (job.question < name.answered) return;  // a later one was faster
    const bool last = job.question == name.question;
    const auto now = Clock::now();
    if (last) name.asked = name.taken = false;
    if (addresses && !addresses->empty()) {
      name.answered = job.question;
      succeed(name, std::move(*addresses), now - start, now);
    } else if (last && !name.overdue) {
      name.answered = job.question;
      if (addresses) return fail(name, job.key.first + ": no such host", true, now);
      fail(name, addresses.error().where, addresses.error().code == Errc::absent, now);
    }
  }

  void succeed(Name& name, Addresses addresses, std::chrono::nanoseconds took,
               Clock::time_point now) const {
    const auto kept = std::find(addresses.begin(), addresses.end(), name.answer.address);
    if (name.keep && kept != addresses.end()) std::rotate(addresses.begin(), kept, kept + 1);
    name.answer = {};
    name.answer.state = Answer::State::known;
    name.answer.address = addresses.front();
    name.answer.others.assign(addresses.begin() + 1, addresses.end());
    name.answer.took = took;
    name.pause = {};
    name.next = now + habits_.fresh;
    name.keep = true;
  }

  void fail(Name& name, std::string why, bool no_such_host, Clock::time_point now) const {
    name.answer.state = Answer::State::failed;
    name.answer.why = std::move(why);
    name.answer.no_such_host = no_such_host;
    name.pause = name.pause.count() == 0 ? habits_.first_pause
                                         : std::min(name.pause * 2, habits_.longest_pause);
    name.next = now + name.pause;
  }

  void sweep(Clock::time_point now) {
    if (now < next_sweep_) return;
    next_sweep_ = now + habits_.forgotten / 10;
    std::erase_if(names_,
                  [&](const auto& entry) { return now - entry.second.wanted > habits_.forgotten; });
    std::erase_if(jobs_, [&](const Job& job) { return !names_.contains(job.key); });
  }

  StartThread start_thread_;
  LookUp look_up_;
  Habits habits_;

  std::mutex mutex_;
  std::condition_variable wanted_;
  std::map<Key, Name> names_;
  std::deque<Job> jobs_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::size_t idle_ = 0;
  std::uint64_t last_question_ = 0;
  Clock::time_point next_sweep_;
  bool stopping_ = false;
};

Resolver::Resolver(StartThread start_thread)
    : Resolver(start_thread, look_up_by_system, Habits()) {}

Resolver::Resolver(StartThread start_thread, LookUp look_up, const Habits& habits)
    : shared_(std::make_shared<Shared>(start_thread, std::move(look_up), habits)) {}

Resolver::~Resolver() { stop(); }

Resolver::Answer Resolver::find(const std::string& host, AddressFamily family) {
  const auto address = parse_address(host);
  if (!address) return shared_->find(host, family);
  if (family != AddressFamily::none && family != address->family) {
    return failed(host + ": an address of the other family", true);
  }
  Answer answer;
  answer.state = Answer::State::known;
  answer.address = *address;
  return answer;
}

void Resolver::refresh(const std::string& host, AddressFamily family) {
  shared_->refresh(host, family);
}

void Resolver::stop() { shared_->stop(); }

}  // namespace wgvitals::probe
