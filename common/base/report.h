// What went wrong during one read.
#pragma once

#include "common/base/result.h"

namespace wgvitals {

// What is absent is no failure; the rest is logged (once, until it is well again) and counted.
class Report {
 public:
  virtual ~Report() = default;
  virtual void failed(const Error& error) = 0;
  // What is as it is here, and no failure: a lesser way is taken, or there is none. Logged once.
  virtual void noted(const Error& /*why*/) {}
  virtual void retried() = 0;  // a torn reading was begun anew
};

}  // namespace wgvitals
