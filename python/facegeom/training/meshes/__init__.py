"""Training of the networks that deform a semi-sphere: Pixel2Mesh and GCN-IGAN."""
