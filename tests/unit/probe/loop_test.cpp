#include "common/probe/loop.h"

#include <gmock/gmock.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <future>
#include <memory>
#include <system_error>
#include <thread>
#include <vector>

#include "common/base/fd.h"
#include "tests/support/kept_log.h"

namespace wgvitals::probe {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

struct Pipe {
  Pipe() {
    std::array<int, 2> ends{};
    if (::pipe(ends.data()) != 0) throw std::system_error(errno, std::generic_category(), "pipe");
    read = Fd(ends[0]);
    write = Fd(ends[1]);
  }
  void fill() const { EXPECT_EQ(::write(write.get(), "x", 1), 1); }
  Fd read, write;
};

class LoopTest : public testing::Test {
 protected:
  // Runs on the loop's thread, and waits until it has.
  template <class Work>
  void run(Work work) {
    std::promise<void> done;
    loop_.post([&] {
      work();
      done.set_value();
    });
    ASSERT_EQ(done.get_future().wait_for(seconds(20)), std::future_status::ready);
  }

  // Until the loop has gone round once more behind what is due now.
  void settle() {
    for (int i = 0; i < 3; ++i) run([] {});
  }

  std::shared_ptr<test::KeptLog> log_ = std::make_shared<test::KeptLog>();
  Loop loop_{start_plain_thread, log_};
};

TEST_F(LoopTest, RunsWhatIsPostedInItsOrderOnOneThread) {
  std::vector<int> order;
  std::thread::id first, second;
  loop_.post([&] {
    order.push_back(1);
    first = std::this_thread::get_id();
    loop_.post([&] { order.push_back(2); });
    loop_.post([&] {
      order.push_back(3);
      second = std::this_thread::get_id();
    });
  });
  settle();
  EXPECT_THAT(order, ElementsAre(1, 2, 3));
  EXPECT_EQ(first, second);
  EXPECT_NE(first, std::this_thread::get_id());
}

TEST_F(LoopTest, LogsWhatThrowsAndGoesOn) {
  loop_.post([] { throw std::runtime_error("a mistake"); });
  run([&] { loop_.at(Loop::Clock::now(), [] { throw 1; }); });
  settle();
  loop_.stop();
  EXPECT_THAT(log_->lines, ElementsAre(HasSubstr("a mistake"), HasSubstr("a probe failed")));
}

TEST_F(LoopTest, TellsOfADescriptorUntilItIsForgotten) {
  const Pipe pipe;
  std::promise<std::uint32_t> told;
  int times = 0;
  run([&] {
    loop_.watch(pipe.read.get(), EPOLLIN, [&](std::uint32_t events) {
      loop_.forget(pipe.read.get());  // what runs outlives that
      if (++times == 1) told.set_value(events);
    });
  });
  pipe.fill();
  auto events = told.get_future();
  ASSERT_EQ(events.wait_for(seconds(20)), std::future_status::ready);
  EXPECT_EQ(events.get(), EPOLLIN);
  settle();
  run([&] { EXPECT_EQ(times, 1); });
}

TEST_F(LoopTest, DoesNotTellWhatWasForgottenInTheSameRound) {
  const Pipe a, b;
  a.fill();
  b.fill();
  int told = 0;
  run([&] {  // both are ready in one round: whichever is first forgets the other
    loop_.watch(a.read.get(), EPOLLIN, [&](std::uint32_t) {
      ++told;
      loop_.forget(a.read.get());
      loop_.forget(b.read.get());
    });
    loop_.watch(b.read.get(), EPOLLIN, [&](std::uint32_t) {
      ++told;
      loop_.forget(a.read.get());
      loop_.forget(b.read.get());
    });
  });
  settle();
  run([&] { EXPECT_EQ(told, 1); });
}

TEST_F(LoopTest, AnEventOfOneThatIsGoneIsNotTakenForThatOfItsDescriptorsNextUser) {
  const Pipe a, b;
  a.fill();
  b.fill();
  int old = 0, anew = 0;
  run([&] {
    const auto renew = [&] {
      ++old;
      for (const auto* pipe : {&a, &b}) {
        char byte;
        EXPECT_EQ(::read(pipe->read.get(), &byte, 1), 1);
        loop_.forget(pipe->read.get());
        loop_.watch(pipe->read.get(), EPOLLIN, [&](std::uint32_t) { ++anew; });
      }
    };
    loop_.watch(a.read.get(), EPOLLIN, [renew](std::uint32_t) { renew(); });
    loop_.watch(b.read.get(), EPOLLIN, [renew](std::uint32_t) { renew(); });
  });
  settle();
  run([&] {
    EXPECT_EQ(old, 1);
    EXPECT_EQ(anew, 0);
    loop_.forget(a.read.get());
    loop_.forget(b.read.get());
  });
}

TEST_F(LoopTest, WatchingAgainChangesTheEvents) {
  const Pipe pipe;
  std::atomic<int> writable = 0, other = 0;
  run([&] {
    loop_.watch(pipe.write.get(), 0, [&](std::uint32_t) { ++other; });
    loop_.watch(pipe.write.get(), EPOLLOUT | EPOLLONESHOT, [&](std::uint32_t) { ++writable; });
  });
  settle();
  EXPECT_EQ(writable, 1);
  EXPECT_EQ(other, 0);
}

TEST_F(LoopTest, SaysWhatCannotBeWatched) {
  run([&] { EXPECT_THROW(loop_.watch(-1, EPOLLIN, [](auto) {}), std::system_error); });
}

TEST_F(LoopTest, TimersFireInTheOrderOfTheirTimes) {
  std::vector<int> order;
  std::promise<void> last;
  run([&] {
    const auto now = Loop::Clock::now();
    loop_.at(now + milliseconds(30), [&] {
      order.push_back(3);
      last.set_value();
    });
    loop_.at(now + milliseconds(10), [&] { order.push_back(2); });
    loop_.at(now - seconds(1), [&] { order.push_back(1); });
    loop_.cancel(loop_.at(now + milliseconds(20), [&] { order.push_back(0); }));
  });
  ASSERT_EQ(last.get_future().wait_for(seconds(20)), std::future_status::ready);
  EXPECT_THAT(order, ElementsAre(1, 2, 3));
}

TEST_F(LoopTest, ATimerMayCancelOthersAndSetAnew) {
  int cancelled = 0, rounds = 0;
  std::promise<void> done;
  std::function<void()> again = [&] {
    if (++rounds == 100) return done.set_value();
    loop_.at(Loop::Clock::now(), again);  // due at once, and yet it holds nobody
  };
  run([&] {
    const auto now = Loop::Clock::now();
    auto second = std::make_shared<Loop::TimerId>();
    loop_.at(now, [&, second] { loop_.cancel(*second); });
    *second = loop_.at(now, [&] { ++cancelled; });
    loop_.at(now, again);
  });
  ASSERT_EQ(done.get_future().wait_for(seconds(20)), std::future_status::ready);
  EXPECT_EQ(cancelled, 0);
}

// Says on which thread it ended.
struct Ends {
  Ends(std::atomic<int>& count, std::thread::id& thread) : ended(count), on(thread) {}
  Ends(const Ends&) = delete;
  ~Ends() {
    on = std::this_thread::get_id();
    ++ended;
  }
  std::atomic<int>& ended;
  std::thread::id& on;
};

TEST_F(LoopTest, StopDropsWhatWaitsOnItsOwnThread) {
  const Pipe pipe;
  std::atomic<int> ended = 0;
  std::thread::id by_timer, by_watch, by_post, loop_thread;
  bool run_late = false;
  std::promise<void> entered, leave;
  loop_.post([&] {
    loop_thread = std::this_thread::get_id();
    loop_.at(Loop::Clock::now() + std::chrono::hours(1),
             [end = std::make_shared<Ends>(ended, by_timer)] {});
    loop_.watch(pipe.read.get(), EPOLLIN, [end = std::make_shared<Ends>(ended, by_watch)](auto) {});
    entered.set_value();
    leave.get_future().wait();
  });
  entered.get_future().wait();
  loop_.post([&, end = std::make_shared<Ends>(ended, by_post)] { run_late = true; });
  std::thread stopper([&] { loop_.stop(); });
  std::thread::id here;
  std::atomic<int> dropped = 0;
  while (ended == 0) {  // the stop is known once nothing is taken any more
    auto probe = std::make_shared<Ends>(dropped, here);
    const std::weak_ptr<Ends> alive = probe;
    loop_.post([probe = std::move(probe)] {});
    if (alive.expired()) break;
    std::this_thread::yield();
  }
  leave.set_value();
  stopper.join();
  EXPECT_EQ(ended, 3);
  EXPECT_FALSE(run_late);
  for (const auto& thread : {by_timer, by_watch, by_post}) EXPECT_EQ(thread, loop_thread);
  loop_.post([&] { run_late = true; });
  EXPECT_FALSE(run_late);
}

TEST_F(LoopTest, LetsInAsManyAsHavePlacesInTheirOrder) {
  std::vector<Loop::PlaceId> places;
  std::vector<std::size_t> order;
  run([&] {
    for (std::size_t i = 0; i < Loop::most_places + 3; ++i)
      places.push_back(loop_.enter([&, i] { order.push_back(i); }));
  });
  settle();
  run([&] {
    EXPECT_EQ(order.size(), Loop::most_places);
    EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
    loop_.leave(places[Loop::most_places]);  // waits no longer
    loop_.leave(places[7]);
    loop_.leave(places[7]);
    loop_.leave(0);
  });
  settle();
  run([&] {
    EXPECT_EQ(order.size(), Loop::most_places + 1);
    EXPECT_EQ(order.back(), Loop::most_places + 1);
  });
}

TEST_F(LoopTest, WhoLeavesAtOnceLetsTheNextIn) {
  std::size_t begun = 0;
  run([&] {
    for (int i = 0; i < 20'000; ++i) {
      const auto place = std::make_shared<Loop::PlaceId>();
      *place = loop_.enter([&, place] {
        ++begun;
        loop_.leave(*place);
      });
    }
  });
  settle();
  run([&] { EXPECT_EQ(begun, 20'000u); });
}

TEST(LoopPlacesTest, AreAQuarterOfTheDescriptorsThatTheProcessMayHave) {
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit few{40, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &few), 0);
  Loop loop(start_plain_thread, std::make_shared<test::KeptLog>());
  EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  std::size_t begun = 0;
  std::promise<void> done;
  loop.post([&] {
    for (int i = 0; i < 20; ++i) loop.enter([&] { ++begun; });
    loop.at(Loop::Clock::now() + milliseconds(1), [&] { done.set_value(); });
  });
  ASSERT_EQ(done.get_future().wait_for(seconds(20)), std::future_status::ready);
  loop.stop();
  EXPECT_EQ(begun, 10u);
}

TEST_F(LoopTest, StopsWithoutEverHavingRun) { loop_.stop(); }

int refuse(pthread_t*, void* (*)(void*), void*, const char*) { return EAGAIN; }

TEST(LoopStartTest, SaysThatNoThreadCouldBeStarted) {
  Loop loop(refuse, std::make_shared<test::KeptLog>());
  EXPECT_THROW(loop.post([] {}), std::system_error);
}

TEST_F(LoopTest, TakesFromManyThreads) {
  std::atomic<int> count = 0;
  std::vector<std::thread> threads;
  threads.reserve(8);
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      for (int j = 0; j < 500; ++j) loop_.post([&] { ++count; });
    });
  }
  for (auto& thread : threads) thread.join();
  settle();
  EXPECT_EQ(count, 4000);
  EXPECT_THAT(log_->lines, IsEmpty());
}

}  // namespace
}  // namespace wgvitals::probe
