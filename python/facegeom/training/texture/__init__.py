"""Training of the network that completes textures, and its data."""
