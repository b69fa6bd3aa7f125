"""From a photo to a complete texture: baking into the atlas, leaving out what covers the face, joining views."""
