"""Reading and cropping of photos, the camera, boxes of faces, and the maps of a crop."""
