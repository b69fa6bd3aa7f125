"""From a photo to the stages of a mesh: one module for each published method, and what they share."""
