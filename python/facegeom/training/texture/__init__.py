"""Training of the network that completes partial textures, and its training data."""
