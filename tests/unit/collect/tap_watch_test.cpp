// What comes from a socket like a tap, whose other end is ours.

#include "common/collect/tap_watch.h"

#include <gmock/gmock.h>
#include <sys/socket.h>

#include <thread>

#include "tests/support/handshake_packets.h"
#include "tests/support/keys.h"
#include "tests/support/services.h"

namespace wgvitals::collect {
namespace {

using test::end_v4;
using testing::SizeIs;

const DeviceIdentity wg0{1, 2};
const trace::TracedDevice device{wg0, 51820, std::nullopt};

class TapWatchTest : public testing::Test {
 protected:
  TapWatchTest() {
    int pair[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair), 0);
    near_ = Fd(pair[0]);
    watch_.emplace(services_.loop, Fd(pair[1]), trace::Mac1For());
    watch_->set_devices(std::span(&device, 1));
  }

  void send(std::uint32_t index) const {
    const auto packet =
        test::udp_packet(end_v4(2, 1234), end_v4(1, 51820), test::initiation(index));
    EXPECT_EQ(::send(near_.get(), packet.data(), packet.size(), 0),
              static_cast<ssize_t>(packet.size()));
  }
  std::uint64_t refused() {
    watch_->take(tapped_);
    return tapped_.refused.empty() ? 0 : tapped_.refused[0].count;
  }

  test::TestServices services_;
  Fd near_;
  std::optional<TapWatch> watch_;
  Tapped tapped_;
};

TEST_F(TapWatchTest, TakesWhatComes) {
  constexpr std::uint32_t many = 300;  // more than a turn
  for (std::uint32_t i = 0; i < many; ++i) send(i);
  while (refused() < many) std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_EQ(refused(), many);
  EXPECT_THAT(tapped_.counts, SizeIs(1));
  EXPECT_FALSE(tapped_.failure);
  EXPECT_EQ(tapped_.dropped, 0u);
}

TEST_F(TapWatchTest, TakesNoMoreOfAFloodThanItMay) {
  constexpr std::uint32_t many = 3000;
  const auto begun = std::chrono::steady_clock::now();
  for (std::uint32_t i = 0; i < many; ++i) send(i);  // waits where there is no room
  EXPECT_GT(std::chrono::steady_clock::now() - begun, std::chrono::milliseconds(150));
  while (refused() < many) std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_EQ(refused(), many);
}

TEST_F(TapWatchTest, EndsInAFlood) {
  std::thread flood([this] {
    const auto packet = test::udp_packet(end_v4(2, 1), end_v4(1, 51820), test::initiation(1));
    while (::send(near_.get(), packet.data(), packet.size(), MSG_NOSIGNAL) > 0) {
    }
  });
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  watch_.reset();
  flood.join();  // it is closed
}

TEST_F(TapWatchTest, EndsWhileItsLoopLivesAndAfterIt) {
  send(1);
  watch_.reset();
  const auto ended = [&] { return ::send(near_.get(), "", 1, MSG_NOSIGNAL) < 0; };
  while (!ended()) std::this_thread::sleep_for(std::chrono::milliseconds(1));  // it is closed

  int pair[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair), 0);
  near_ = Fd(pair[0]);
  watch_.emplace(services_.loop, Fd(pair[1]), trace::Mac1For());
  services_.loop.stop();
  watch_.reset();
}

}  // namespace
}  // namespace wgvitals::collect
