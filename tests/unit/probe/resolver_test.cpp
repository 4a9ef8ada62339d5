#include "common/probe/resolver.h"

#include <gmock/gmock.h>

#include <atomic>
#include <condition_variable>
#include <cstring>
#include <map>
#include <mutex>
#include <stdexcept>
#include <thread>

namespace wgvitals::probe {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::IsEmpty;
using State = Resolver::Answer::State;

Endpoint address(std::string_view text) { return parse_address(text).value(); }

// Name servers: what they know, and whom they let hang.
class Names {
 public:
  Result<std::vector<Endpoint>> operator()(const std::string& host, AddressFamily family) {
    std::unique_lock lock(mutex_);
    ++asked_[host];
    ++busy_;
    changed_.notify_all();
    changed_.wait(lock, [&] { return !hung_.contains(host); });
    --busy_;
    const auto known = known_.find(host);
    if (host == "odd.example") throw std::runtime_error("a mistake");
    if (host == "away.example") return Error{Errc::io, 0, host + ": not now"};
    if (known == known_.end()) return Error{Errc::absent, 0, host + ": no such host"};
    std::vector<Endpoint> found;
    for (const auto& each : known->second) {
      if (family == AddressFamily::none || each.family == family) found.push_back(each);
    }
    return found;
  }

  void know(const std::string& host, const std::vector<std::string>& addresses) {
    const std::lock_guard lock(mutex_);
    known_[host].clear();
    for (const auto& text : addresses) known_[host].push_back(address(text));
  }
  void forget(const std::string& host) {
    const std::lock_guard lock(mutex_);
    known_.erase(host);
  }
  void hang(const std::string& host, bool hangs) {
    const std::lock_guard lock(mutex_);
    if (hangs) {
      hung_[host] = true;
    } else {
      hung_.erase(host);
    }
    changed_.notify_all();
  }
  int asked(const std::string& host) {
    const std::lock_guard lock(mutex_);
    return asked_[host];
  }
  void wait_until_busy(int count) {
    std::unique_lock lock(mutex_);
    ASSERT_TRUE(changed_.wait_for(lock, seconds(20), [&] { return busy_ >= count; }));
  }
  int busy() {
    const std::lock_guard lock(mutex_);
    return busy_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, std::vector<Endpoint>> known_;
  std::map<std::string, bool> hung_;
  std::map<std::string, int> asked_;
  int busy_ = 0;
};

class ResolverTest : public testing::Test {
 protected:
  ResolverTest() { names_->know("a.example", {"192.0.2.1"}); }

  Resolver::LookUp look_up() const {
    return [names = names_](const std::string& host, AddressFamily family) {
      return (*names)(host, family);
    };
  }
  void begin(const Resolver::Habits& habits = {}) {
    resolver_.emplace(start_plain_thread, look_up(), habits);
  }

  // The first answer that is as wanted.
  template <class Wanted>
  Resolver::Answer await(const std::string& host, Wanted wanted,
                         AddressFamily family = AddressFamily::none) {
    const auto until = std::chrono::steady_clock::now() + seconds(20);
    while (std::chrono::steady_clock::now() < until) {
      auto answer = resolver_->find(host, family);
      if (wanted(answer)) return answer;
      std::this_thread::sleep_for(milliseconds(1));
    }
    ADD_FAILURE() << host << " never came to what is wanted";
    return {};
  }
  Resolver::Answer settled(const std::string& host, AddressFamily family = AddressFamily::none) {
    return await(
        host, [](const auto& answer) { return answer.state != State::pending; }, family);
  }
  Resolver::Answer moved(const std::string& host, std::string_view to) {
    return await(host, [&](const auto& answer) { return answer.address == address(to); });
  }

  std::shared_ptr<Names> names_ = std::make_shared<Names>();  // hung threads outlive us
  std::optional<Resolver> resolver_;
};

int refuse(pthread_t*, void* (*)(void*), void*, const char*) { return EAGAIN; }

TEST_F(ResolverTest, KnowsAnAddressWithoutAskingAnybody) {
  resolver_.emplace(refuse, look_up(), Resolver::Habits());
  for (const auto* text : {"192.0.2.7", "2001:db8::7", "127.0.0.1", "::1"}) {
    const auto answer = resolver_->find(text);
    EXPECT_EQ(answer.state, State::known);
    EXPECT_EQ(answer.address, address(text));
    EXPECT_EQ(answer.took.count(), 0);
    EXPECT_EQ(names_->asked(text), 0);
  }
  const auto other = resolver_->find("192.0.2.7", AddressFamily::ipv6);
  EXPECT_EQ(other.state, State::failed);
  EXPECT_EQ(other.why, "192.0.2.7: an address of the other family");
}

TEST_F(ResolverTest, SaysPendingAndThenTheAddress) {
  names_->hang("a.example", true);
  begin();
  const auto first = resolver_->find("a.example");
  EXPECT_EQ(first.state, State::pending);
  EXPECT_EQ(first.address.family, AddressFamily::none);
  names_->hang("a.example", false);
  const auto answer = settled("a.example");
  EXPECT_EQ(answer.state, State::known);
  EXPECT_EQ(answer.address, address("192.0.2.1"));
  EXPECT_THAT(answer.others, IsEmpty());
  EXPECT_GT(answer.took.count(), 0);
  for (int i = 0; i < 100; ++i) (void)resolver_->find("a.example");
  EXPECT_EQ(names_->asked("a.example"), 1);
}

TEST_F(ResolverTest, ChoosesTheFamilyThatIsAskedFor) {
  names_->know("b.example", {"2001:db8::2", "192.0.2.2"});
  begin();
  const auto any = settled("b.example");
  EXPECT_EQ(any.address, address("2001:db8::2"));
  EXPECT_THAT(any.others, ElementsAre(address("192.0.2.2")));
  EXPECT_EQ(settled("b.example", AddressFamily::ipv4).address, address("192.0.2.2"));
  EXPECT_EQ(settled("b.example", AddressFamily::ipv6).address, address("2001:db8::2"));
  const auto none = settled("a.example", AddressFamily::ipv6);  // an answer without addresses
  EXPECT_EQ(none.why, "a.example: no such host");
  EXPECT_TRUE(none.no_such_host);
}

TEST_F(ResolverTest, TellsANameThatIsNotThereFromOtherFailures) {
  begin();
  const auto absent = settled("none.example");
  EXPECT_EQ(absent.state, State::failed);
  EXPECT_TRUE(absent.no_such_host);
  EXPECT_EQ(absent.why, "none.example: no such host");
  const auto away = settled("away.example");
  EXPECT_EQ(away.state, State::failed);
  EXPECT_FALSE(away.no_such_host);
  EXPECT_EQ(away.why, "away.example: not now");
  EXPECT_EQ(settled("odd.example").why, "odd.example: a mistake");
}

TEST_F(ResolverTest, ResolvesAnewInTheBackground) {
  begin({.fresh = milliseconds(1)});
  moved("a.example", "192.0.2.1");
  names_->know("a.example", {"192.0.2.9"});
  EXPECT_EQ(moved("a.example", "192.0.2.9").state, State::known);
}

TEST_F(ResolverTest, KeepsTheAddressWhileTheNameHasItUntilARefresh) {
  begin({.fresh = milliseconds(1)});
  moved("a.example", "192.0.2.1");
  names_->know("a.example", {"192.0.2.8", "192.0.2.1", "192.0.2.9"});
  const auto more = await("a.example", [](const auto& answer) { return !answer.others.empty(); });
  EXPECT_EQ(more.address, address("192.0.2.1"));
  EXPECT_THAT(more.others, ElementsAre(address("192.0.2.8"), address("192.0.2.9")));
  resolver_->refresh("a.example");
  EXPECT_THAT(moved("a.example", "192.0.2.8").others,
              ElementsAre(address("192.0.2.1"), address("192.0.2.9")));
}

TEST_F(ResolverTest, ARefreshDoesNotWaitForItsMinute) {
  begin();
  moved("a.example", "192.0.2.1");
  names_->know("a.example", {"192.0.2.9"});
  resolver_->refresh("a.example");
  resolver_->refresh("unknown.example");  // which nobody asked for
  moved("a.example", "192.0.2.9");
}

TEST_F(ResolverTest, TheLastGoodAddressOutlivesAFailure) {
  begin(
      {.fresh = milliseconds(1), .first_pause = milliseconds(1), .longest_pause = milliseconds(1)});
  moved("a.example", "192.0.2.1");
  names_->forget("a.example");
  const auto failed =
      await("a.example", [](const auto& answer) { return answer.state == State::failed; });
  EXPECT_EQ(failed.address, address("192.0.2.1"));
  EXPECT_EQ(failed.why, "a.example: no such host");
  names_->know("a.example", {"192.0.2.2"});
  const auto well = moved("a.example", "192.0.2.2");
  EXPECT_EQ(well.state, State::known);
  EXPECT_EQ(well.why, "");
  EXPECT_FALSE(well.no_such_host);
}

TEST_F(ResolverTest, PausesBehindAFailure) {
  begin({.first_pause = std::chrono::hours(1), .longest_pause = std::chrono::hours(1)});
  settled("none.example");
  for (int i = 0; i < 100; ++i) (void)resolver_->find("none.example");
  EXPECT_EQ(names_->asked("none.example"), 1);
}

TEST_F(ResolverTest, AHungNameFailsByItsDeadlineAndHoldsNobody) {
  names_->hang("hung.example", true);
  begin({.deadline = milliseconds(20), .first_pause = milliseconds(1)});
  const auto failed =
      await("hung.example", [](const auto& answer) { return answer.state == State::failed; });
  EXPECT_EQ(failed.why, "hung.example: no answer from the name servers within 20 ms");
  EXPECT_FALSE(failed.no_such_host);
  EXPECT_EQ(moved("a.example", "192.0.2.1").state, State::known);
  for (int i = 0; i < 20; ++i) {  // nor is another thread hung on it
    (void)resolver_->find("hung.example");
    std::this_thread::sleep_for(milliseconds(1));
  }
  EXPECT_EQ(names_->asked("hung.example"), 1);
  names_->know("hung.example", {"192.0.2.3"});
  names_->hang("hung.example", false);
  EXPECT_EQ(moved("hung.example", "192.0.2.3").state, State::known);  // late, and welcome
}

TEST_F(ResolverTest, AHungLookUpIsTriedBesideInTheEnd) {
  names_->hang("hung.example", true);
  begin({.deadline = milliseconds(1), .first_pause = milliseconds(1), .given_up = milliseconds(5)});
  await("hung.example", [&](const auto&) { return names_->busy() >= 3; });
  names_->know("hung.example", {"192.0.2.3"});
  names_->hang("hung.example", false);
  moved("hung.example", "192.0.2.3");
}

TEST_F(ResolverTest, WithAllThreadsHungFurtherNamesWaitAndAreNotBlamed) {
  begin({.deadline = milliseconds(50), .first_pause = milliseconds(1)});
  const auto hung = [](int i) { return "hung" + std::to_string(i) + ".example"; };
  for (int i = 0; i < 12; ++i) {
    names_->hang(hung(i), true);
    (void)resolver_->find(hung(i));
  }
  names_->wait_until_busy(Resolver::most_threads);
  EXPECT_EQ(settled(hung(0)).why, "hung0.example: no answer from the name servers within 50 ms");
  const auto until = std::chrono::steady_clock::now() + milliseconds(200);
  while (std::chrono::steady_clock::now() < until) {
    ASSERT_EQ(resolver_->find("a.example").state, State::pending);
    std::this_thread::sleep_for(milliseconds(5));
  }
  EXPECT_EQ(names_->asked("a.example"), 0);
  EXPECT_EQ(names_->busy(), static_cast<int>(Resolver::most_threads));
  for (int i = 0; i < 12; ++i) names_->hang(hung(i), false);
  moved("a.example", "192.0.2.1");
}

TEST_F(ResolverTest, ThreadsEndWhenIdleAndBeginAnew) {
  begin({.fresh = milliseconds(1), .idle = milliseconds(1)});
  for (int i = 0; i < 20; ++i) {
    const auto text = "192.0.2." + std::to_string(i + 1);
    names_->know("a.example", {text});
    std::this_thread::sleep_for(milliseconds(3));
    moved("a.example", text);
  }
}

TEST_F(ResolverTest, ForgetsWhatNobodyAsksFor) {
  begin({.first_pause = std::chrono::hours(1), .forgotten = milliseconds(10)});
  settled("none.example");
  names_->know("none.example", {"192.0.2.4"});
  std::this_thread::sleep_for(milliseconds(30));
  moved("none.example", "192.0.2.4");  // in spite of the pause
}

TEST_F(ResolverTest, SaysThatNoThreadCouldBeStarted) {
  resolver_.emplace(refuse, look_up(), Resolver::Habits());
  const auto failed = resolver_->find("a.example");
  EXPECT_EQ(failed.state, State::failed);
  EXPECT_EQ(failed.why, std::string("a.example: cannot start a thread to resolve it: ") +
                            std::strerror(EAGAIN));
}

TEST_F(ResolverTest, AnswersManyThreads) {
  begin({.fresh = milliseconds(1)});
  for (int i = 0; i < 50; ++i) names_->know("n" + std::to_string(i), {"192.0.2.1"});
  std::atomic<int> known = 0;
  std::vector<std::thread> threads;
  threads.reserve(4);
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 50; ++i) {
        moved("n" + std::to_string(i), "192.0.2.1");
        ++known;
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(known, 200);
}

TEST_F(ResolverTest, StopsWhileALookUpHangs) {
  names_->hang("hung.example", true);
  begin();
  (void)resolver_->find("hung.example");
  names_->wait_until_busy(1);
  settled("a.example");
  resolver_->stop();
  EXPECT_EQ(resolver_->find("hung.example").state, State::pending);
  EXPECT_EQ(resolver_->find("a.example").state, State::known);
  EXPECT_EQ(resolver_->find("late.example").state, State::pending);
  resolver_.reset();
  names_->hang("hung.example", false);  // the one left behind ends without us
  while (names_->busy() > 0) std::this_thread::yield();
}

TEST(SystemResolverTest, AsksTheSystem) {
  Resolver resolver(start_plain_thread);
  const auto await = [&](const std::string& host, AddressFamily family) {
    auto answer = resolver.find(host, family);
    while (answer.state == State::pending) {
      std::this_thread::sleep_for(milliseconds(1));
      answer = resolver.find(host, family);
    }
    return answer;
  };
  const auto local = await("localhost", AddressFamily::ipv4);
  EXPECT_EQ(local.state, State::known) << local.why;
  EXPECT_EQ(local.address, address("127.0.0.1"));
  EXPECT_EQ(await("localhost", AddressFamily::none).state, State::known);
  // No name server is asked for a label that is too long.
  const auto failed = await(std::string(64, 'x') + ".example", AddressFamily::none);
  EXPECT_EQ(failed.state, State::failed);
  EXPECT_THAT(failed.why, testing::StartsWith(std::string(64, 'x') + ".example: "));
}

}  // namespace
}  // namespace wgvitals::probe
