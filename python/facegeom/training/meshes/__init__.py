"""Training of the networks that deform a semi-sphere mesh: Pixel2Mesh and GCN-IGAN."""
