// Names to addresses, as the system resolves them (getaddrinfo(3)), on threads that may hang
// without holding anybody.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/base/result.h"
#include "common/base/thread.h"
#include "common/model/address.h"

namespace wgvitals::probe {

class Resolver {
 public:
  struct Answer {
    enum class State : std::uint8_t {
      pending,  // not known yet
      known,
      failed,  // the last try failed; `address` may still hold the last good one
    };
    State state = State::pending;
    Endpoint address;                 // family none: never resolved
    std::vector<Endpoint> others;     // its further ones, as the system orders them
    std::string why;                  // of a failure: "example.org: no such host"
    std::chrono::nanoseconds took{};  // by the last try that succeeded; 0 for an address
    bool no_such_host = false;        // the failure is that the name does not exist
  };

  // A blocking look-up, called on threads of the resolver's own: at least one address, without
  // port. absent where there is no such host; `where` is the whole message.
  using LookUp =
      std::function<Result<std::vector<Endpoint>>(const std::string& host, AddressFamily family)>;

  struct Habits {
    std::chrono::milliseconds deadline{5'000};  // of a look-up, from when it begins
    std::chrono::milliseconds fresh{60'000};    // what is older is resolved anew
    std::chrono::milliseconds first_pause{5'000}, longest_pause{60'000};  // behind failures
    std::chrono::milliseconds given_up{
        60'000};                             // a hung look-up is tried beside, on another thread
    std::chrono::milliseconds idle{10'000};  // of a thread, before it ends
    std::chrono::milliseconds forgotten{600'000};  // of a name that nobody asks for
  };

  static constexpr std::size_t most_threads = 8;  // hung ones count
  static constexpr std::size_t most_names = 65'536;

  explicit Resolver(StartThread start_thread);
  Resolver(StartThread start_thread, LookUp look_up, const Habits& habits);
  ~Resolver();  // stops

  // What is known now; never waits. Begins to resolve what is new, or was resolved longer than a
  // minute ago (failures: longer the more often, from 5 s); until that is done, the last answer
  // stays, and its address as long as the name has it. An address written as a text is known at
  // once and asks nobody. `family` none: either, as the system prefers. Any thread.
  Answer find(const std::string& host, AddressFamily family = AddressFamily::none);

  // Resolves anew at the next find(), as after many lost probes, and takes the address that the
  // system then prefers.
  void refresh(const std::string& host, AddressFamily family = AddressFamily::none);

  // Threads that hang in the resolver are left behind.
  void stop();

 private:
  class Shared;
  std::shared_ptr<Shared> shared_;
};

}  // namespace wgvitals::probe
