#pragma once

// Every binding includes this header first.
#include <pybind11/eigen.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <facegeom/interrupt.h>
#include <facegeom/types.h>

namespace py = pybind11;

//! A call of the core: the GIL is released, and in the main thread a signal, such as that of Ctrl-C, can end
//! the call.
class CoreCall {
 public:
  CoreCall();

 private:
  facegeom::InterruptScope scope_;  // entered while the GIL is held
  py::gil_scoped_release release_;
};
using ReleaseGil = py::call_guard<CoreCall>;
