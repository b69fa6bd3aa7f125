"""Photos: reading them, cropping them, the camera, boxes, and the maps of a crop."""
