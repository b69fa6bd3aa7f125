"""Training of the networks that remove noise, and their noise."""
