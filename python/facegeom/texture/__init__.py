"""From a photo to a complete texture: baking into the atlas, masking of occluders, blending of views, completion."""
