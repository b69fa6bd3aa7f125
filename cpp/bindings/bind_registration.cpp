#include "pybind.h"

#include "arguments.h"

#include <facegeom/registration/registration.h>

namespace {

using facegeom::Registration;
using facegeom::RegistrationStep;

void check_registration_mesh(const facegeom::PointsIn& V, const facegeom::FacesIn& F,
                             const facegeom::RowsIn& E, const std::string& name) {
  check_values(V, (name + "_V").c_str());
  check_indices(F, V.rows(), (name + "_F").c_str());
  check_values(E, (name + "_E").c_str());
}

Registration run(facegeom::PointsIn V, facegeom::FacesIn F, facegeom::RowsIn E, facegeom::PointsIn target_V,
                 facegeom::FacesIn target_F, facegeom::RowsIn target_E,
                 const facegeom::RegistrationOptions& options, const facegeom::Indices& landmark_vertex,
                 facegeom::PointsIn landmark_place, const facegeom::Vector& landmark_weight,
                 facegeom::VectorIn weights, const py::object& progress) {
  facegeom::Progress notify;
  if (!progress.is_none()) {
    notify = [&progress](const RegistrationStep& step) {
      const py::gil_scoped_acquire gil;
      return !progress(step).is(py::bool_(false));
    };
  }
  check_registration_mesh(V, F, E, "template");
  check_registration_mesh(target_V, target_F, target_E, "target");
  check_indices(facegeom::IndicesIn(landmark_vertex), V.rows(), "landmark_vertex");
  check_values(landmark_place, "landmark_place");
  check_values(facegeom::VectorIn(landmark_weight), "landmark_weight");
  check_values(weights, "weights");
  const facegeom::Landmarks landmarks{landmark_vertex, landmark_place, landmark_weight};
  const CoreCall call;
  return facegeom::register_nonrigid({V, F, E}, {target_V, target_F, target_E}, options, landmarks, weights,
                                     notify);
}

}  // namespace

void bind_registration(py::module_& m) {
  using facegeom::RegistrationOptions;
  py::enum_<facegeom::Matching>(m, "Matching", "Kind of correspondences.")
      .value("surface", facegeom::Matching::kSurface)
      .value("vertex", facegeom::Matching::kVertex);
  py::enum_<facegeom::StartAlignment>(m, "StartAlignment",
                                      "Kind of map that aligns the template before the deformation.")
      .value("none", facegeom::StartAlignment::kNone)
      .value("affine", facegeom::StartAlignment::kAffine)
      .value("similarity", facegeom::StartAlignment::kSimilarity)
      .value("rigid", facegeom::StartAlignment::kRigid);
  py::class_<RegistrationOptions>(m, "RegistrationOptions", "See geometry.RegistrationOptions.")
      .def(py::init<>())
      .def_readwrite("matching", &RegistrationOptions::matching)
      .def_readwrite("alignment", &RegistrationOptions::alignment)
      .def_readwrite("point_weight", &RegistrationOptions::point_weight)
      .def_readwrite("plane_weight", &RegistrationOptions::plane_weight)
      .def_readwrite("stiffness", &RegistrationOptions::stiffness)
      .def_readwrite("least_stiffness", &RegistrationOptions::least_stiffness)
      .def_readwrite("stiffness_unit", &RegistrationOptions::stiffness_unit)
      .def_readwrite("reach", &RegistrationOptions::reach)
      .def_readwrite("least_reach", &RegistrationOptions::least_reach)
      .def_readwrite("reach_decay", &RegistrationOptions::reach_decay)
      .def_readwrite("max_distance", &RegistrationOptions::max_distance)
      .def_readwrite("max_angle", &RegistrationOptions::max_angle)
      .def_readwrite("motion_tolerance", &RegistrationOptions::motion_tolerance)
      .def_readwrite("inner_tolerance", &RegistrationOptions::inner_tolerance)
      .def_readwrite("switch_matches", &RegistrationOptions::switch_matches)
      .def_readwrite("noise_floor", &RegistrationOptions::noise_floor)
      .def_readwrite("max_samples", &RegistrationOptions::max_samples)
      .def_readwrite("max_iterations", &RegistrationOptions::max_iterations)
      .def_readwrite("solver_tolerance", &RegistrationOptions::solver_tolerance)
      .def_readwrite("seed", &RegistrationOptions::seed);
  py::class_<RegistrationStep>(m, "RegistrationStep", "One outer iteration.")
      .def_property_readonly("kind", [](const RegistrationStep& step) { return int(step.kind); })
      .def_readonly("matches", &RegistrationStep::matches)
      .def_readonly("stiffness", &RegistrationStep::stiffness)
      .def_readonly("point_energy", &RegistrationStep::point_energy)
      .def_readonly("plane_energy", &RegistrationStep::plane_energy)
      // The public name in Python; the energy is that of a thin plate.
      .def_readonly("thin_plate_energy", &RegistrationStep::thin_plate_energy)
      .def_readonly("motion", &RegistrationStep::motion)
      .def_readonly("solver_iterations", &RegistrationStep::solver_iterations);
  py::class_<Registration>(m, "Registration", "Result of register_nonrigid.")
      .def_property_readonly("V", [](const Registration& r) { return facegeom::Points(r.V); })
      .def_property_readonly("match", [](const Registration& r) { return facegeom::Indices(r.match); })
      .def_property_readonly("kind",
                             [](const Registration& r) { return Eigen::Matrix<std::int32_t, -1, 1>(r.kind); })
      .def_readonly("history", &Registration::history)
      .def_readonly("converged", &Registration::converged)
      .def_readonly("reason", &Registration::reason);
  m.def("register_nonrigid", &run, py::arg("V"), py::arg("F"), py::arg("E"), py::arg("target_V"),
        py::arg("target_F"), py::arg("target_E"), py::arg("options"), py::arg("landmark_vertex"),
        py::arg("landmark_place"), py::arg("landmark_weight"), py::arg("weights"), py::arg("progress"),
        "Non-rigid registration of a template to a target.");
}
