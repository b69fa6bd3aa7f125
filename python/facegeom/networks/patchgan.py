"""PatchGAN discriminator: classifies each 70 x 70 patch of a photo and a map as real or generated.

Isola et al. 2017, as in section 3.2 of FaceVision-GAN: one discriminator per map; the photo is concatenated to the map.
"""

from __future__ import annotations

from torch import nn

RECEPTIVE_FIELD = 70  # side length in pixels of the part of the input on which one logit depends; checked by a test


class PatchDiscriminator(nn.Sequential):
    """Photo and map (b, 3 + c, S, S) -> patch logits (b, 1, S/8 - 2, S/8 - 2).

    C64-C128-C256-C512-1 with 4x4 kernels, of which the first three have stride 2; `width` replaces 64.
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
