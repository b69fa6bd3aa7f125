"""The face of a person in a video: one identity, and a pose and an expression for each frame."""
