"""Limits on the size of pictures from files."""

MAX_PIXELS = 200_000_000
"""Default of the largest number of pixels of a photo."""

KEPT_PIXELS = 40_000_000
"""Number of pixels up to which a photo keeps its size. A larger one is reduced by an integer factor on reading."""

TEXTURE_PIXELS = 8192 * 8192
"""Largest number of pixels of the texture in a mesh file; textures are not reduced."""
