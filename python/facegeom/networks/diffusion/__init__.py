"""Latent diffusion of heads: an autoencoder, a U-Net that removes noise from its latents, and the samplers.

Rombach et al., High-Resolution Image Synthesis with Latent Diffusion Models (CVPR 2022), which the GCN-IGAN paper names
for its augmentation (section 3.1). `pix2pix` is the other method that the paper's algorithm 1 names.
"""
