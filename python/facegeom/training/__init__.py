"""Training data, losses and training loops of all networks. Needs the extra `facegeom[train]`."""
