"""Construction of the statistical face model from the ICT FaceKit head: mesh, components, atlas, landmarks."""
