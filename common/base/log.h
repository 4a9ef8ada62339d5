// Messages for the administrator. Hosts supply the Log; Complaints keeps it short.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace wgvitals {

enum class Level : std::uint8_t { error, warning, info, debug };

// May be called from any thread. Takes one line without its end.
class Log {
 public:
  virtual ~Log() = default;
  virtual void write(Level level, std::string_view line) = 0;

  void error(std::string_view line) { write(Level::error, line); }
  void warning(std::string_view line) { write(Level::warning, line); }
  void info(std::string_view line) { write(Level::info, line); }
  void debug(std::string_view line) { write(Level::debug, line); }
};

// What goes wrong at every gather is said once, and once more when it is over. What comes and goes
// is said at most every ten minutes, what stays every hour. One owner, one thread. Bounded.
class Complaints {
 public:
  using Clock = std::chrono::steady_clock;

  void complain(Log& log, Level level, std::string_view text, Clock::time_point now);

  // Ends a round: what was not complained of since the last call is well again.
  void settle(Log& log, Clock::time_point now);

 private:
  struct State {
    Clock::time_point said;
    bool current = false;    // in this round
    bool announced = false;  // its recovery is owed
  };

  std::map<std::string, State, std::less<>> texts_;
  bool full_said_ = false;
};

}  // namespace wgvitals
