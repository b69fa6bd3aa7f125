"""Training data: labels and splits of photos, training samples, renderings, synthetic faces, augmentation."""
