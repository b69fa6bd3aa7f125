"""Training of the contour network: photos with FaceMesh points, reshaped photos and synthetic heads."""
