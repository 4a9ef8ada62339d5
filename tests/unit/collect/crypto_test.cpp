#include <gmock/gmock.h>

#include <string>
#include <thread>
#include <utility>

#include "common/collect/crypto_method.h"
#include "tests/support/gathering.h"
#include "tests/support/kept_report.h"
#include "tests/support/said.h"
#include "tests/support/temp_root.h"

namespace wgvitals::collect {
extern const Entry crypto;

namespace {

using std::chrono::seconds;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;

constexpr std::uint64_t ms = 1'000'000;

// A method that has what a test gives it.
class FakeMethod final : public CryptoMethod {
 public:
  explicit FakeMethod(std::string name) : name_(std::move(name)) {}
  std::string_view name() const override { return name_; }
  void read(std::span<const SeenDevice* const> left, const Devices&, Report&) override {
    asked = left.size();
  }
  Result<const CryptoReading*> reading_of(const SeenDevice& device) const override {
    if (device.name != "wg0") return Error{Errc::absent, 0, ""};
    if (begins) return nullptr;
    return answer ? Result(&*answer) : answer.error();
  }

  bool begins = false;
  Result<CryptoReading> answer = Error{Errc::absent, 0, ""};
  std::size_t asked = 99;

 private:
  std::string name_;
};

CryptoReading reading(seconds at, std::uint64_t total_ns, std::uint64_t begun = 1) {
  CryptoReading made;
  made.at = std::chrono::steady_clock::time_point(at);
  made.begun = begun;
  made.all.total_ns = total_ns;
  return made;
}

class CryptoCollectorTest : public testing::Test {
 protected:
  CryptoCollectorTest() {
    auto better = std::make_unique<FakeMethod>("better");
    auto lesser = std::make_unique<FakeMethod>("lesser");
    better_ = better.get();
    lesser_ = lesser.get();
    std::vector<std::unique_ptr<CryptoMethod>> methods;
    methods.push_back(std::move(better));
    methods.push_back(std::move(lesser));
    collector_ = make_crypto_collector(std::move(methods), all_.services);
    gathering_.add_device("wg0", 1);
  }

  void sample() { gathering_.sample(*collector_, report_); }
  std::string gather() { return gathering_.gather(*collector_, report_); }

  test::TestServices all_;
  FakeMethod* better_ = nullptr;
  FakeMethod* lesser_ = nullptr;
  std::unique_ptr<Collector> collector_;
  test::Gathering gathering_;
  test::KeptReport report_;
};

TEST_F(CryptoCollectorTest, TellsTheBestMethod) {
  better_->answer = reading(seconds(1), 5);
  lesser_->answer = reading(seconds(1), 6);
  EXPECT_EQ(gather(), "wireguard_crypto,device=wg0,cpu=all,method=better total_ns=5\n");
  EXPECT_EQ(better_->asked, 1);
  EXPECT_EQ(lesser_->asked, 0);  // which has nothing to do
}

TEST_F(CryptoCollectorTest, WaitsForTheBetterMethodThatHasNothingYet) {
  better_->begins = true;
  lesser_->answer = reading(seconds(1), 6);
  EXPECT_EQ(gather(), "");
  EXPECT_EQ(lesser_->asked, 0);
}

TEST_F(CryptoCollectorTest, SaysWhyNoBetterMethodIsUsed) {
  better_->answer = Error{Errc::denied, 0, "needs CAP_BPF"};
  lesser_->answer = reading(seconds(1), 6);
  EXPECT_EQ(gather(),
            "wireguard_crypto,device=wg0,cpu=all,method=lesser total_ns=6\n"
            "wireguard_crypto,device=wg0,method=lesser method_reason=\"needs CAP_BPF\"\n");
  EXPECT_THAT(report_.notes, ElementsAre("needs CAP_BPF"));
  EXPECT_THAT(report_.texts, IsEmpty());
  better_->answer = Error{Errc::absent, 0, "not for this kind of device"};
  EXPECT_EQ(gather(), "wireguard_crypto,device=wg0,cpu=all,method=lesser total_ns=6\n");
}

TEST_F(CryptoCollectorTest, SaysNothingOfWhatNoMethodMeasures) {
  gathering_.add_device("wg1", 2);
  EXPECT_EQ(gather(), "");
  EXPECT_THAT(report_.texts, IsEmpty());
}

TEST_F(CryptoCollectorTest, TellsAllThatAMethodSplits) {
  auto now = reading(seconds(1), 21);
  now.all.encrypt_ns = 1;
  now.all.decrypt_ns = 2;
  now.all.transmit_ns = 3;
  now.all.handshake_ns = 4;
  now.all.receive_ns = 11;
  better_->answer = now;
  EXPECT_THAT(gather(), HasSubstr(" encrypt_ns=1 decrypt_ns=2 transmit_ns=3 handshake_ns=4 "
                                  "receive_ns=11 total_ns=21\n"));
}

TEST_F(CryptoCollectorTest, TellsTheShareOfACpuSinceTheLastGather) {
  better_->answer = reading(seconds(10), 1000 * ms);
  EXPECT_THAT(gather(), Not(HasSubstr("busy")));
  better_->answer = reading(seconds(11), 1200 * ms);
  sample();  // ends no window
  better_->answer = reading(seconds(14), 7000 * ms);
  EXPECT_THAT(gather(), HasSubstr("total_ns=7000000000 busy_percent=150\n"));
  // The method has looked no further.
  for (int i = 0; i < 2; ++i) {
    EXPECT_THAT(gather(), HasSubstr("total_ns=7000000000 busy_percent=150\n"));
  }
  better_->answer = reading(seconds(16), 7000 * ms);
  EXPECT_THAT(gather(), HasSubstr("busy_percent=0\n"));  // since then
}

TEST_F(CryptoCollectorTest, TellsNoShareOfTheFirstReading) {
  better_->answer = reading(seconds(10), 1000 * ms);
  for (int i = 0; i < 3; ++i) EXPECT_THAT(gather(), Not(HasSubstr("busy")));
  better_->answer = reading(seconds(14), 3000 * ms);
  EXPECT_THAT(gather(), HasSubstr("busy_percent=50\n"));
}

TEST_F(CryptoCollectorTest, TellsTheMeanOfAPacket) {
  auto& counters = gathering_.devices.devices[0].link.emplace().counters.emplace();
  counters.tx_packets = 100;
  counters.rx_packets = 50;
  auto now = reading(seconds(10), 0);
  now.all.encrypt_ns = now.all.decrypt_ns = 7000;
  better_->answer = now;
  EXPECT_THAT(gather(), Not(HasSubstr("per_packet")));
  counters.tx_packets += 10;
  now.at += seconds(1);
  now.all.encrypt_ns = 12000;
  better_->answer = now;
  EXPECT_THAT(gather(), HasSubstr(" encrypt_ns_per_packet=500\n"));  // none was received
  counters.tx_packets += 90;
  EXPECT_THAT(gather(), HasSubstr(" encrypt_ns_per_packet=500\n"));  // of no newer reading
  now.at += seconds(1);
  better_->answer = now;
  counters.rx_packets = 1;  // the link was made anew
  EXPECT_THAT(gather(), HasSubstr(" encrypt_ns_per_packet=0\n"));
}

TEST_F(CryptoCollectorTest, ComparesNothingWithWhatBeganAnew) {
  better_->answer = reading(seconds(10), 1000 * ms);
  gather();
  better_->answer = reading(seconds(11), 1100 * ms, 2);  // another process
  EXPECT_THAT(gather(), Not(HasSubstr("busy")));
  better_->answer = reading(seconds(12), 900 * ms, 2);
  EXPECT_THAT(gather(), Not(HasSubstr("busy")));
  better_->answer = Error{Errc::io, 0, "no more"};
  lesser_->answer = reading(seconds(13), 950 * ms, 2);  // of another method
  EXPECT_THAT(gather(), AllOf(HasSubstr("method=lesser"), Not(HasSubstr("busy"))));
  gathering_.devices.devices[0].identity.index = 9;  // another device of this name
  lesser_->answer = reading(seconds(14), 999 * ms, 2);
  EXPECT_THAT(gather(), Not(HasSubstr("busy")));
}

TEST_F(CryptoCollectorTest, TellsEachCpu) {
  auto now = reading(seconds(10), 30);
  now.cpus[1].total_ns = 30;
  better_->answer = now;
  EXPECT_EQ(gather(),
            "wireguard_crypto,device=wg0,cpu=all,method=better total_ns=30\n"
            "wireguard_crypto,device=wg0,cpu=cpu1,method=better total_ns=30\n");
  now = reading(seconds(11), 30 + 700 * ms);
  now.cpus[0].total_ns = 200 * ms;  // had no work before
  now.cpus[1].total_ns = 30 + 500 * ms;
  better_->answer = now;
  EXPECT_EQ(gather(),
            "wireguard_crypto,device=wg0,cpu=all,method=better total_ns=700000030 "
            "busy_percent=70\n"
            "wireguard_crypto,device=wg0,cpu=cpu0,method=better total_ns=200000000 "
            "busy_percent=20\n"
            "wireguard_crypto,device=wg0,cpu=cpu1,method=better total_ns=500000030 "
            "busy_percent=50\n");
}

TEST_F(CryptoCollectorTest, TellsAProcess) {
  auto now = reading(seconds(10), 500 * ms);
  now.process = kernel::ProcessUse{7, 500 * ms, 4096, 2, {{41, 300 * ms}, {42, 200 * ms}}};
  better_->answer = now;
  EXPECT_THAT(gather(),
              HasSubstr(" total_ns=500000000 process_rss_bytes=4096 process_threads=2\n"));
  now = reading(seconds(12), 1500 * ms);
  now.process = kernel::ProcessUse{7, 1500 * ms, 8192, 3, {{41, 1100 * ms}, {42, 400 * ms}}};
  better_->answer = now;
  EXPECT_THAT(gather(), HasSubstr(" busy_percent=50 process_rss_bytes=8192 process_threads=3 "
                                  "busiest_thread_percent=40\n"));
  now.at += seconds(1);
  now.process->thread_times.clear();  // too many
  better_->answer = now;
  EXPECT_THAT(gather(), Not(HasSubstr("busiest")));
}

// The methods themselves, below a root of files.
class CryptoMethodsTest : public testing::Test {
 protected:
  std::unique_ptr<Collector> make(const std::string& toml = "", bool resident = true) {
    all_.services.resident = resident;
    return crypto.make(all_.services, test::settings(toml));
  }
  std::string gather(Collector& collector) { return gathering_.gather(collector, report_); }
  std::string gather_until(Collector& collector, const std::string& text) {
    std::string said;
    for (int i = 0; i < 500 && said.find(text) == std::string::npos; ++i) {
      said = gather(collector);
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    return said;
  }
  void set_thread(int id, const std::string& name, int spent_ms) {
    const auto folder = "proc/" + std::to_string(id);
    top_.with(folder + "/stat", std::to_string(id) + " (" + name +
                                    ") I 2 0 0 0 -1 2129984 0 0 0 0 0 31 0 0 20 0 1 0 5 0 0 0\n");
    top_.with(folder + "/comm", name + "\n");
    top_.with(folder + "/schedstat", std::to_string(spent_ms) + "000000 7 8\n");
  }
  void set_process(int id, int ticks) {
    top_.with("proc/" + std::to_string(id) + "/stat",
              std::to_string(id) + " (wireguard-go) S 1 1 1 0 -1 4194560 0 0 0 0 " +
                  std::to_string(ticks) + " 0 0 0 20 0 7 0 5 0 100 0\n");
  }
  SeenDevice& add_userspace(const std::string& name, std::uint32_t process) {
    auto& device = gathering_.add_device(name, 0);
    device.userspace = true;
    device.process = process;
    return device;
  }

  test::TempRoot top_;
  test::TestServices all_{true, top_.root()};
  test::Gathering gathering_;
  test::KeptReport report_;
};

TEST_F(CryptoMethodsTest, AUserspaceDeviceByItsProcess) {
  set_process(41, 100);
  set_process(42, 200);
  add_userspace("wg0", 41);
  add_userspace("wg1", 42);
  add_userspace("wg2", 42);  // a process with two devices
  add_userspace("wg3", 43);  // has just ended
  const auto collector = make();
  const std::string tail = " process_rss_bytes=409600 process_threads=7\n";
  EXPECT_EQ(gather(*collector),
            "wireguard_crypto,device=wg0,cpu=all,method=process total_ns=1000000000" + tail +
                "wireguard_crypto,device=wg1,cpu=all,method=process total_ns=2000000000" + tail +
                "wireguard_crypto,device=wg2,cpu=all,method=process total_ns=2000000000" + tail);
  EXPECT_THAT(report_.codes, testing::Each(Errc::absent));
}

TEST_F(CryptoMethodsTest, SaysThatAProcessCannotBeSeen) {
  set_process(41, 100);
  add_userspace("wg0", 0);
  add_userspace("wg1", 41);
  const auto collector = make();
  EXPECT_THAT(gather(*collector), AllOf(HasSubstr("wg1"), Not(HasSubstr("wg0"))));
  EXPECT_THAT(report_.notes, ElementsAre(HasSubstr("wg0: its process cannot be seen")));
  EXPECT_THAT(report_.texts, IsEmpty());
}

TEST_F(CryptoMethodsTest, OnceTellsNoRates) {
  set_process(41, 100);
  add_userspace("wg0", 41);
  gathering_.add_device("wg1", 2);  // in the kernel, whose method has to look twice
  const auto collector = make("", false);
  EXPECT_THAT(gather(*collector), AllOf(HasSubstr("total_ns"), Not(HasSubstr("wg1"))));
  EXPECT_THAT(gather(*collector), Not(HasSubstr("percent")));
}

TEST_F(CryptoMethodsTest, AnInKernelDeviceByTheWorkersNames) {
  set_thread(2, "kthreadd", 0);
  set_thread(10, "kworker/1:2-wg-crypt-wg0", 100);
  top_.with("proc/2/task/2/children", "10 ");
  gathering_.add_device("wg0", 1);
  const auto collector = make("crypto_per_cpu = true\ncrypto_ebpf = false");
  const std::string head = "wireguard_crypto,device=wg0,cpu=";
  EXPECT_EQ(gather_until(*collector, "kworker"),
            head + "all,method=kworker handshake_ns=0 total_ns=0\n");
  set_thread(10, "kworker/1:2-wg-crypt-wg0", 120);
  EXPECT_THAT(gather_until(*collector, "total_ns=20000000"),
              AllOf(HasSubstr(head + "all,method=kworker handshake_ns=0 total_ns=20000000 busy_"),
                    HasSubstr(head + "cpu1,method=kworker handshake_ns=0 total_ns=20000000 busy")));
  EXPECT_THAT(report_.texts, IsEmpty());
  gathering_.devices.clear();  // the last one is gone: so is what was counted
  EXPECT_EQ(gather(*collector), "");
  gathering_.add_device("wg0", 2);
  EXPECT_THAT(gather_until(*collector, "kworker"), HasSubstr(" total_ns=0\n"));
}

TEST_F(CryptoMethodsTest, SaysWhyAnInKernelDeviceIsEstimated) {
  set_thread(2, "kthreadd", 0);
  top_.with("proc/2/task/2/children", "");
  gathering_.add_device("wg0", 1);
  const auto collector = make();  // where there is no BTF
  set_thread(10, "kworker/1:2-wg-crypt-wg0", 100);
  top_.with("proc/2/task/2/children", "10 ");
  EXPECT_THAT(gather_until(*collector, "kworker"),
              HasSubstr("wireguard_crypto,device=wg0,method=kworker method_reason=\"ebpf: "));
  ASSERT_THAT(report_.notes, Not(IsEmpty()));
  EXPECT_THAT(report_.notes.back(), StartsWith("ebpf: "));
  EXPECT_THAT(report_.texts, IsEmpty());
}

TEST_F(CryptoMethodsTest, FollowsADeviceThatIsRenamed) {
  set_thread(2, "kthreadd", 0);
  set_thread(10, "kworker/1:2-wg-crypt-wg0", 100);
  top_.with("proc/2/task/2/children", "10 ");
  gathering_.add_device("wg0", 1);
  const auto collector = make();
  gather_until(*collector, "kworker");
  gathering_.devices.devices[0].name = "home";
  EXPECT_THAT(gather(*collector), HasSubstr("device=home,"));
}

TEST_F(CryptoMethodsTest, SaysThatKernelThreadsCannotBeSeen) {
  gathering_.add_device("wg0", 1);
  const auto collector = make();
  for (int i = 0; i < 500 && report_.notes.size() < 2; ++i) {
    EXPECT_EQ(gather(*collector), "");
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  EXPECT_THAT(report_.notes.back(), HasSubstr("kernel threads cannot be seen from here"));
  EXPECT_THAT(report_.texts, IsEmpty());
}

TEST(IsAtRest, BelowAHundredthOfACpu) {
  EXPECT_TRUE(is_at_rest(0, seconds(1)));
  EXPECT_TRUE(is_at_rest(9'999'999, seconds(1)));
  EXPECT_FALSE(is_at_rest(10'000'000, seconds(1)));
  EXPECT_TRUE(is_at_rest(39'000'000, seconds(4)));
  EXPECT_FALSE(is_at_rest(3'000'000'000, seconds(4)));
}

TEST_F(CryptoMethodsTest, BeginsNoScansWithoutInKernelDevices) {
  add_userspace("wg0", 41);
  const auto collector = make();
  gather(*collector);
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  gather(*collector);
  EXPECT_THAT(report_.codes, testing::Each(Errc::absent));  // no word of kernel threads
}

}  // namespace
}  // namespace wgvitals::collect
