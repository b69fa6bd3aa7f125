"""Detection of the faces in a photo: boxes with scores."""
