"""A head with blendshapes from a scan or another mesh of a face or head."""
