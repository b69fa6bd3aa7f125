#pragma once

#include <facegeom/registration/state.h>

namespace facegeom::registration {

//! Counts, among pairs of corresponding points, those with opposite normals.
class OrientationCheck {
 public:
  //! \param cosine cosine of the largest accepted angle between the normals
  explicit OrientationCheck(double cosine);

  //! Count a pair.
  //! \param dot product of its unit normals
  void add(double dot) {
    ++pairs_;
    opposed_ += dot < limit_;
  }

  //! \param problem arguments of the registration
  //! \param mirrored whether the alignment of the template is a reflection
  //! \throw std::invalid_argument if three quarters of the pairs are opposed; the message says why
  void require(const Problem& problem, bool mirrored = false) const;

 private:
  double limit_;
  Index pairs_ = 0, opposed_ = 0;
};

}  // namespace facegeom::registration
