"""Training of the identity network: reshaped photos, synthetic heads, losses and the training run."""
