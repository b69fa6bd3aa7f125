"""Training of the latent diffusion of heads and of Pix2Pix, and training photos that they make with their meshes."""
