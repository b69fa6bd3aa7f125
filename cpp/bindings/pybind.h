#pragma once

// Every binding includes this header first.
#include <pybind11/eigen.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <facegeom/types.h>

namespace py = pybind11;
using ReleaseGil = py::call_guard<py::gil_scoped_release>;
