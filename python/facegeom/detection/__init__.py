"""Where the faces in a photo are."""
