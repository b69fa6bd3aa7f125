#pragma once

#include <cstdint>

namespace facegeom {

//! Called from time to time during a long computation; throws an exception to end it.
using InterruptPoll = void (*)();

//! While a scope exists, long computations of its thread call `poll` about every 50 ms.
//!
//! Without a scope, computations are not interrupted. Scopes may be nested; the inner one applies.
class InterruptScope {
 public:
  //! \param poll function to call, or null for none
  explicit InterruptScope(InterruptPoll poll);
  ~InterruptScope();
  InterruptScope(const InterruptScope&) = delete;
  InterruptScope& operator=(const InterruptScope&) = delete;

 private:
  InterruptPoll outer_;
};

//! Call the function of the current scope if its last call was at least 50 ms ago; reads the clock.
//! \throw what the function throws
void poll_interrupt();

//! Counts the work of a loop, and polls when a few milliseconds of work have passed.
class WorkCounter {
 public:
  //! Polls once per this number of units; a unit is about the time of one memory access.
  static constexpr std::int64_t kUnitsPerPoll = 1 << 16;

  //! \param units work since the last call
  //! \throw what poll_interrupt throws
  void add(std::int64_t units) {
    remaining_ -= units;
    if (remaining_ < 0) {
      remaining_ = kUnitsPerPoll;
      poll_interrupt();
    }
  }

 private:
  std::int64_t remaining_ = kUnitsPerPoll;
};

}  // namespace facegeom
