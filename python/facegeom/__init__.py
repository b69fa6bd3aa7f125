"""facegeom: one photograph in, a complete, textured 3-D face out."""
