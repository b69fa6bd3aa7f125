#include <facegeom/interrupt.h>

#include <chrono>

namespace facegeom {

namespace {

constexpr std::chrono::milliseconds kPollInterval(50);

thread_local InterruptPoll current = nullptr;
thread_local std::chrono::steady_clock::time_point last_call;

}  // namespace

InterruptScope::InterruptScope(InterruptPoll poll) : outer_(current) {
  current = poll;
  if (poll != nullptr) last_call = std::chrono::steady_clock::now();
}

InterruptScope::~InterruptScope() { current = outer_; }

void poll_interrupt() {
  if (current == nullptr) return;
  const auto now = std::chrono::steady_clock::now();
  if (now - last_call < kPollInterval) return;
  last_call = now;
  current();
}

}  // namespace facegeom
