"""Training of the three networks of the face detector (MTCNN)."""
