"""Data preparation, losses and training loops; needs the extra `facegeom[train]`."""
