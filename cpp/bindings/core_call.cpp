#include "pybind.h"

#include <pybind11/gil_safe_call_once.h>

namespace {

//! Python runs the handlers of signals in the main thread only; after a fork, that is the thread that forked.
bool in_main_thread() {
  PYBIND11_CONSTINIT static py::gil_safe_call_once_and_store<py::object> main_thread;
  const py::object ident =
      main_thread
          .call_once_and_store_result([]() { return py::module_::import("threading").attr("main_thread"); })
          .get_stored()()
          .attr("ident");
  return !ident.is_none() && ident.cast<unsigned long>() == PyThread_get_thread_ident();
}

void run_signal_handlers() {
  const py::gil_scoped_acquire gil;
  if (PyErr_CheckSignals() != 0) throw py::error_already_set();
}

}  // namespace

CoreCall::CoreCall() : scope_(in_main_thread() ? &run_signal_handlers : nullptr) {}
