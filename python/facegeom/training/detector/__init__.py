"""Training of the detector's networks."""
