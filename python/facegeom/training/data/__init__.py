"""Training data: labels and splits of photos, samples, renders, synthetic faces, augmentation."""
