"""The neural networks: one per file, with its configuration and the function that loads its weights."""
