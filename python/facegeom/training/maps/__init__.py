"""Training of the networks that predict maps: FaceVision-GAN, pix2vertex, and the translator of renderings."""
