"""Data and training of the segmentation network."""
