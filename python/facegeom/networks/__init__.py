"""The neural networks: each file contains one network, its configuration, and the function that loads its weights."""
