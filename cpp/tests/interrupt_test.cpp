#include "helpers.h"

#include <facegeom/interrupt.h>
#include <facegeom/smoothing.h>

#include <chrono>

using namespace facegeom;

namespace {

struct Stopped {};

int calls = 0;

void stop() {
  ++calls;
  throw Stopped();
}

void count() { ++calls; }

//! Poll for 120 ms.
void work() {
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(120);
  while (std::chrono::steady_clock::now() < end) poll_interrupt();
}

}  // namespace

TEST_CASE("poll_interrupt: calls the function of the scope at most every 50 ms") {
  calls = 0;
  work();
  CHECK(calls == 0);
  {
    const InterruptScope scope(&count);
    work();
    CHECK(calls >= 1);
    CHECK(calls <= 2);
    const int before = calls;
    {
      const InterruptScope inner(nullptr);
      work();
    }
    CHECK(calls == before);
    work();
    CHECK(calls > before);
  }
  const int before = calls;
  work();
  CHECK(calls == before);
}

TEST_CASE("laplacian_smooth: is ended by the exception of the poll") {
  const testing::Mesh mesh = testing::icosphere(3);
  const InterruptScope scope(&stop);
  CHECK_THROWS_AS(laplacian_smooth(mesh.V, mesh.F, 1 << 30, 0.5, false), Stopped);
}
