// Where clang or libbpf were missing when we were built.
#include <string>
#include <utility>

#include "common/trace/crypto_cpu.h"
#include "common/trace/refused.h"

namespace wgvitals::trace {
namespace {

Error absent(const char* who) {
  return {Errc::absent, 0,
          std::string(who) +
              ": built without eBPF, which takes clang and libbpf (Debian: clang-14, libbpf-dev)"};
}

}  // namespace

struct CryptoCpu::Attached {};
struct RefusedCounter::Attached {};

CryptoCpu::CryptoCpu(std::unique_ptr<Attached> attached) : attached_(std::move(attached)) {}
CryptoCpu::~CryptoCpu() = default;
RefusedCounter::RefusedCounter(std::unique_ptr<Attached> attached)
    : attached_(std::move(attached)) {}
RefusedCounter::~RefusedCounter() = default;

Result<std::unique_ptr<CryptoCpu>> CryptoCpu::attach(const Root&, Watch) { return absent(who); }
Result<std::unique_ptr<RefusedCounter>> RefusedCounter::attach(const Root&) { return absent(who); }

Result<CryptoTimes> CryptoCpu::read() { return CryptoTimes{}; }
Result<std::vector<RefusedPackets>> RefusedCounter::read() { return std::vector<RefusedPackets>(); }
void CryptoCpu::forget(const CryptoTime&) {}
void RefusedCounter::forget(const RefusedPackets&) {}

}  // namespace wgvitals::trace
