"""The PatchGAN discriminator: real or generated, for every 70 x 70 patch of photo and map together.

Isola et al. 2017, as FaceVision-GAN's section 3.2 uses it: one discriminator per map, the photo concatenated to it.
"""

from __future__ import annotations

from torch import nn

RECEPTIVE_FIELD = 70  # pixels; a test measures it


class PatchDiscriminator(nn.Sequential):
    """Photo and map (b, 3 + c, S, S) -> patch logits (b, 1, S/8 - 2, S/8 - 2).

    C64-C128-C256-C512-1 with 4x4 kernels, the first three of stride 2; `width` scales the channels.
    """

    def __init__(self, map_channels: int, width: int = 32) -> None:
        layers: list[nn.Module] = [nn.Conv2d(3 + map_channels, width, 4, 2, 1), nn.LeakyReLU(0.2, inplace=True)]
        for level, stride in ((1, 2), (2, 2), (3, 1)):
            inputs, outputs = width * 2 ** (level - 1), width * 2**level
            layers += [
                nn.Conv2d(inputs, outputs, 4, stride, 1, bias=False),
                nn.InstanceNorm2d(outputs, affine=True),
                nn.LeakyReLU(0.2, inplace=True),
            ]
        super().__init__(*layers, nn.Conv2d(width * 8, 1, 4, 1, 1))
