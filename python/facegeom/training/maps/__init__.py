"""Training of the networks that predict maps: FaceVision-GAN and pix2vertex."""
