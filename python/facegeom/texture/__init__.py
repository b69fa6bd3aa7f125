"""Textures from photos: baking into the atlas, detection of occluders, blending of views, and completion."""
