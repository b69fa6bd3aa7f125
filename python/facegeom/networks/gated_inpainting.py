"""The texture completion network: gated convolutions in two stages, coarse and refinement (deepfillv2).

The thesis on full textured heads (section 3.4, equation 2.9 and table B.1) uses a published deepfillv2. The layers are
those of Yu et al. 2019, "Free-Form Image Inpainting with Gated Convolution"; the contextual attention is that of Yu et
al. 2018. Decisions with their reasons:

- `fold`: with fold 2, the first layer takes blocks of 2 x 2 texels as one position with four times the channels (pixel
  unshuffle), and the last layer returns such blocks. All layers between them are the paper's at half the resolution,
  which takes a quarter of the time. Fold 1 is the paper's network.
- `guided`: two estimates without learned parameters are additional inputs, and the coarse stage predicts a correction
  of them. `smooth_fill` extends the known texels smoothly into the unknown region. `mirror_fill` is the mirrored
  texture, plus the smooth extension of the difference between both sides where both are known: the atlas is symmetric,
  and the mirror images of most unknown texels are known. A fourth output, through a sigmoid, is the
  weight of `mirror_fill` where the mirrored texel is known; before training both estimates have weight 0.5 there.
  `guided` False is the paper's network with four input channels (texture, mask): after 4,000 images of 96 texels at
  width 16 its L1 error was 8.3 %, while the two estimates alone have 6.9 %.
- `classes`: the class of each texel is an input, one channel for each part of the head and one for hair, so that hair
  is completed as hair and skin as skin. The parts are the same for all heads and are stored with the weights; hair is
  an argument. The smooth estimate extends hair from hair and skin from skin, and the mirrored estimate is used only
  where both sides have the same class. The paper's network does not know classes.
- The network predicts the difference from the mean training texture. The mean is stored with the weights, together with
  `region`, the part of the atlas that the training textures cover. Unknown texels of an input that is not guided are 0,
  that is the mean.
- The dilated layers are residual. Without the identity the signal would become weaker, to a thirtieth over the four
  layers before training, because most taps of the layer with the largest dilation are in the zero padding.
- Width 64, `fold` 1: 29.0 M parameters, 58 MB in float16; without the attention branch 23.2 M, 47 MB. The published
  network has 2 x 13.4 M parameters, 54 MB: it has no attention branch, and kernels of 4 x 4 and 7 x 7 instead of the 3
  x 3 and 5 x 5 of Yu et al. 2019 that are used here. With the defaults: 4.1 M parameters, 8.5 MB; the coarse stage
  alone 1.65 M.
- The last layer of a stage is a plain convolution, as in Yu et al.; in the published code it is gated too.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from facegeom._internal import check
from facegeom._internal.arrays import BoolArray, ByteArray, Float32Array
from facegeom._internal.threads import one_thread
from facegeom.errors import WeightsError
from facegeom.networks.devices import check_device
from facegeom.networks.facevision import channels_last
from facegeom.networks.interface import check_textures
from facegeom.networks.weights import load_state, load_weights

DILATIONS = (2, 4, 8, 16)  # dilations of the four dilated layers of a stage, in positions of the feature map
PARTS = 4  # number of parts of the head: face, ears, neck, scalp; 0 in `part` stands for no part
SHARPNESS = 10.0  # factor on the cosines before the softmax of the attention, Yu et al. 2018


@dataclass(frozen=True)
class GatedInpaintingConfig:
    """Configuration of the network."""

    size: int = 192  # side length of the textures in texels (as in the paper), a multiple of 8
    width: int = 24  # channels of the first layer (paper: 64, latent_channels of table B.1)
    fold: int = 2  # side length in texels of the blocks that become one position of the inner layers (paper: 1)
    guided: bool = True  # True: the smooth and the mirrored estimate are inputs, too; False: paper
    refinement: bool = True  # True: both stages; False: coarse stage only
    attention: bool = True  # True: the refinement stage has a contextual attention branch
    classes: bool = False  # True: the class of each texel (part of the head, or hair) is an input; False: paper


class InpaintingOutput(NamedTuple):
    """Predictions of both stages for all texels, including known ones.

    Attributes
    ----------
    coarse : (b, 3, S, S), approximately in [-1, 1]
    refined : (b, 3, S, S), or None without a refinement stage
    """

    coarse: Tensor
    refined: Tensor | None

    @property
    def last(self) -> Tensor:
        """The prediction of the refinement, or of the coarse stage if there is no refinement."""
        return self.coarse if self.refined is None else self.refined


class GatedConv(nn.Module):
    """Gated convolution, equation 2.9: relu(W_f x) * sigmoid(W_g x); both filters are one zero-padded convolution."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        self.both = nn.Conv2d(inputs, 2 * outputs, kernel, stride, dilation * (kernel // 2), dilation)

    def forward(self, x: Tensor) -> Tensor:
        feature, gate = self.both(x).chunk(2, 1)
        return functional.relu(feature) * gate.sigmoid()


class UpsamplingConv(nn.Module):
    """Doubles the resolution by nearest-neighbour interpolation, followed by a gated convolution."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = GatedConv(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(functional.interpolate(x, scale_factor=2, mode="nearest"))


def _encoder(config: GatedInpaintingConfig) -> nn.Sequential:
    """Return the encoder: (b, c, S, S) -> (b, 4 w, S / 4f, S / 4f), with width w and fold f.

    c is 4, or 8 if the network is guided, and `PARTS` + 1 more with classes.
    """
    width = config.width
    inputs = ((8 if config.guided else 4) + (PARTS + 1 if config.classes else 0)) * config.fold**2
    return nn.Sequential(
        nn.PixelUnshuffle(config.fold),
        GatedConv(inputs, width, 5 if config.fold == 1 else 3),
        GatedConv(width, 2 * width, stride=2),
        GatedConv(2 * width, 2 * width),
        GatedConv(2 * width, 4 * width, stride=2),
        GatedConv(4 * width, 4 * width),
        GatedConv(4 * width, 4 * width),
    )


def _decoder(config: GatedInpaintingConfig, inputs: int, outputs: int = 3) -> nn.Sequential:
    """Return the decoder: (b, inputs, S / 4f, S / 4f) -> (b, outputs, S, S)."""
    width, fold = config.width, config.fold
    return nn.Sequential(
        GatedConv(inputs, 4 * width),
        GatedConv(4 * width, 4 * width),
        UpsamplingConv(4 * width, 2 * width),
        GatedConv(2 * width, 2 * width),
        UpsamplingConv(2 * width, width),
        GatedConv(width, width),
        nn.Conv2d(width, outputs * fold**2, 3, 1, 1),
        nn.PixelShuffle(fold),
    )


class DilatedBlock(nn.Module):
    """Four gated convolutions with the dilations `DILATIONS`, each added to its input: (b, width, h, w) -> the same
    shape.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(GatedConv(width, width, dilation=dilation) for dilation in DILATIONS)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = x + layer(x)
        return x


class ContextualAttention(nn.Module):
    """Replaces the features at each position by a weighted mean of known positions with similar patches.

    Yu et al. 2018, section 4.1.

    Parameters
    ----------
    rate : int, 1 or 2
        The features are averaged over blocks of this size, and the 3 x 3 patches of the averages are compared.

    Notes
    -----
    The scores are cosines, normalised by both patches; Yu et al. normalise only the known patch. Their propagation of
    scores to neighbouring positions is omitted: it favours copies with the same orientation, while the best match here
    is mirrored.
    """

    def __init__(self, rate: int) -> None:
        super().__init__()
        self.rate = rate
        # Kernel size, stride and padding of the copied patches.
        self.value = (3, 1, 1) if rate == 1 else (2 * rate, rate, rate // 2)

    def forward(self, x: Tensor, known: Tensor) -> Tensor:
        """Return features (b, c, h, w): weighted means of the features `x` at positions where more than half of the
        texels of the mask `known` (b, 1, S, S) are 1.
        """
        small = functional.avg_pool2d(x, self.rate) if self.rate > 1 else x  # (b, c, h / rate, w / rate)
        # The padding repeats the border values, because zeros would be copied to interior positions.
        around = functional.pad(small, (1, 1, 1, 1), mode="replicate")
        patches = functional.normalize(functional.unfold(around, 3).float(), dim=1, eps=1e-4)
        patches = patches.to(x.dtype)  # (b, 9c, p)
        share = functional.adaptive_avg_pool2d(known, (small.shape[2], small.shape[3])).flatten(2)  # (b, 1, p)
        scores = (patches.transpose(1, 2) @ patches).float() * SHARPNESS  # (b, p queries, p keys)
        weight = (scores + 1e4 * (share > 0.5).float()).softmax(2).to(x.dtype)  # equal weights if no texel is known
        kernel, stride, padding = self.value
        around = functional.pad(x, (padding,) * 4, mode="replicate")
        values = functional.unfold(around, kernel, stride=stride)  # (b, c kernel^2, p)
        size = (x.shape[2], x.shape[3])
        mixed = functional.fold(values @ weight.transpose(1, 2), size, kernel, padding=padding, stride=stride)
        cover = functional.unfold(torch.ones_like(x[:1, :1]), kernel, padding=padding, stride=stride)
        return mixed / functional.fold(cover, size, kernel, padding=padding, stride=stride)


class CoarseStage(nn.Module):
    """The first stage: (b, c, S, S) -> (b, 3 or 4, S, S), with the channels c of `_encoder`; the fourth channel is the
    logit of the weight of `mirror_fill`.
    """

    def __init__(self, config: GatedInpaintingConfig) -> None:
        super().__init__()
        self.encoder, self.dilated = _encoder(config), DilatedBlock(4 * config.width)
        self.decoder = _decoder(config, 4 * config.width, 4 if config.guided else 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(self.dilated(self.encoder(x)))


class RefinementStage(nn.Module):
    """The second stage: the layers of the first stage, plus an attention branch with a separate encoder."""

    def __init__(self, config: GatedInpaintingConfig) -> None:
        super().__init__()
        width = 4 * config.width
        self.encoder, self.dilated = _encoder(config), DilatedBlock(4 * config.width)
        if config.attention:
            self.attention_encoder = _encoder(config)
            # In both cases the size of a patch is about 8 texels.
            self.attention = ContextualAttention(2 if config.fold == 1 else 1)
            self.attended = GatedConv(width, width)
        self.decoder = _decoder(config, width * (2 if config.attention else 1))

    def forward(self, x: Tensor, known: Tensor) -> Tensor:
        features = self.dilated(self.encoder(x))
        if hasattr(self, "attention"):
            attended = self.attended(self.attention(self.attention_encoder(x), known))
            features = torch.cat([features, attended], 1)
        return self.decoder(features)


class GatedInpainting(nn.Module):
    """Both stages: textures (b, 3, S, S) in [-1, 1] and masks of known texels (b, 1, S, S) -> `InpaintingOutput`.

    With `classes`, a third argument is the mask of texels with hair (b, 1, S, S), also of those that are not known.

    Raises
    ------
    ValueError
        If the size is not a multiple of 8 of at least 16, the fold is neither 1 nor 2, or the width is below 1.
    """

    mean: Tensor  # (3, S, S) in [-1, 1], mean of the training textures
    region: Tensor  # (S, S) bool: the texels that training textures cover; all others are treated as unknown
    part: Tensor  # (S, S) uint8, only with classes: the part of the head of each texel, 0 to `PARTS`
    usual_hair: Tensor  # (S, S) in [0, 1], only with classes: share of people with hair at each texel

    def __init__(self, config: GatedInpaintingConfig = GatedInpaintingConfig()) -> None:
        super().__init__()
        if config.fold not in (1, 2):
            raise ValueError(f"fold must be 1 or 2, got {config.fold}")
        if config.size < 16 or config.size % 8:
            raise ValueError(f"size must be a multiple of 8 of at least 16, got {config.size}")
        if config.width < 1:
            raise ValueError(f"width must be at least 1, got {config.width}")
        self.config = config
        self.coarse = CoarseStage(config)
        self.refinement = RefinementStage(config) if config.refinement else None
        self.register_buffer("mean", torch.zeros(3, config.size, config.size))
        self.register_buffer("region", torch.ones(config.size, config.size, dtype=torch.bool))
        if config.classes:
            self.register_buffer("part", torch.zeros(config.size, config.size, dtype=torch.uint8))
            self.register_buffer("usual_hair", torch.zeros(config.size, config.size))

    def forward(self, texture: Tensor, known: Tensor, hair: Tensor | None = None) -> InpaintingOutput:
        known = known.to(texture.dtype) * self.region
        shown = (texture - self.mean) * known
        classes: list[Tensor] = []
        if self.config.classes:
            if hair is None:
                raise ValueError("the network needs hair, the mask of texels with hair")
            hair = hair.to(texture.dtype) * self.region
            parts = [(self.part == part).to(texture.dtype) * (1 - hair) for part in range(1, PARTS + 1)]
            classes = [*parts, hair]
        else:
            hair = None
        if self.config.guided:
            smooth_fill, mirror_fill = initial_fills(shown, known, hair)
            mirrored = known.flip(3)
            if hair is not None:
                mirrored = mirrored * (hair == hair.flip(3))
            estimates = _concatenate([smooth_fill, known, mirror_fill, mirrored, *classes])
            change, share = self.coarse(estimates).float().split((3, 1), 1)
            coarse = change + smooth_fill + share.sigmoid() * mirrored * (mirror_fill - smooth_fill)
        else:
            coarse = self.coarse(_concatenate([shown, known, *classes])).float()
        refined = None
        if self.refinement is not None:
            # The coarse stage is trained with L1 only (section 2.4): no gradient flows back from the refinement.
            filled = shown + coarse.detach() * (1 - known)
            inputs = [filled, known, filled.flip(3), known.flip(3)] if self.config.guided else [filled, known]
            refined = filled + self.refinement(_concatenate([*inputs, *classes]), known).float() + self.mean
        return InpaintingOutput(coarse + self.mean, refined)


def _concatenate(channels: list[Tensor]) -> Tensor:
    """Concatenate tensors along the channels, in channels-last memory format."""
    return torch.cat(channels, 1).contiguous(memory_format=torch.channels_last)


def initial_fills(shown: Tensor, known: Tensor, hair: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Estimate the unknown texels without learned parameters: by smooth extension, and by mirroring with matched
    colours.

    Parameters
    ----------
    shown : (b, 3, S, S), 0 where not known
    known : (b, 1, S, S), 0 or 1
    hair : (b, 1, S, S), 0 or 1, texels with hair; with it, hair is extended from hair only, and skin from skin

    Returns
    -------
    smooth_fill : (b, 3, S, S)
        Equal to `shown` where known, extended smoothly elsewhere.
    mirror_fill : (b, 3, S, S)
        The mirrored texture with the colours of this side; valid only where the mirrored texel is known.
    """
    mirrored = shown.flip(3)
    both = known * known.flip(3)
    if hair is None:
        smooth_fill = _pull_push(shown, known)
    else:
        of_skin, of_hair = known * (1 - hair), known * hair
        smooth_fill = (1 - hair) * _pull_push(shown * of_skin, of_skin) + hair * _pull_push(shown * of_hair, of_hair)
        both = both * (hair == hair.flip(3))
    return smooth_fill, mirrored + _pull_push((shown - mirrored) * both, both)


def _pull_push(values: Tensor, weight: Tensor) -> Tensor:
    """Extend values (b, c, S, S) to texels of weight 0, by the pull-push algorithm; `weight` is (b, 1, S, S).

    The values must be 0 where the weight is 0. Weighted means are computed on all levels of a resolution pyramid; where
    a level has little weight, the next coarser level is used.
    """
    levels = [(values, weight)]
    while levels[-1][0].shape[2] % 2 == 0:
        levels.append((functional.avg_pool2d(levels[-1][0], 2), functional.avg_pool2d(levels[-1][1], 2)))
    total, mass = levels[-1]
    out = (total.sum((2, 3), keepdim=True) / mass.sum((2, 3), keepdim=True).clamp_min(1e-6)).expand_as(total)
    for total, mass in reversed(levels):
        if out.shape != total.shape:
            out = functional.interpolate(out, scale_factor=2, mode="bilinear", align_corners=False)
        share = mass if total is values else (2 * mass).clamp_max(1)  # a mean over a half-covered block has full weight
        out = out + share * (total / mass.clamp_min(1e-6) - out)
    return out


def composite(texture: Tensor, known: Tensor, prediction: Tensor) -> Tensor:
    """Return the texture where known, else the prediction clamped to [-1, 1]; shapes as in `GatedInpainting`."""
    return torch.where(known > 0, texture, prediction.clamp(-1, 1))


def initialise(network: nn.Module, gain: float) -> None:
    """Initialise the weights of all convolutions from Xavier's normal distribution with a gain, and the biases with
    zero.

    Notes
    -----
    The gain of table B.1 is 0.02. This network has no normalisation, so each of 16 layers would reduce the signal to a
    hundredth: with this gain the validation error did not change between 2,000 and 4,000 images. The default of the
    training preserves the magnitude: ReLU halves the second moment and a gate of one half quarters it, so the gain of
    the features is the square root of 8; the gates start near one half.
    """
    for module in network.modules():
        if isinstance(module, GatedConv):
            fans = (module.both.in_channels + module.both.out_channels // 2) * math.prod(module.both.kernel_size)
            feature, gate = module.both.weight.chunk(2)
            nn.init.normal_(feature, 0.0, gain * math.sqrt(2 / fans))
            nn.init.normal_(gate, 0.0, min(gain, 1.0) * math.sqrt(2 / fans))
            nn.init.zeros_(module.both.bias)  # type: ignore[arg-type]
    last: list[nn.Module] = [network.coarse.decoder[-2]]  # type: ignore[union-attr,index,list-item]
    if network.refinement is not None:
        last.append(network.refinement.decoder[-2])  # type: ignore[union-attr,index,arg-type]
    for module in last:  # the coarse stage starts as the initial fills or the mean texture, the refinement as its input
        nn.init.zeros_(module.weight)  # type: ignore[arg-type]
        nn.init.zeros_(module.bias)  # type: ignore[arg-type]


class Inpainter:
    """A trained network, ready to complete textures.

    Attributes
    ----------
    size : int, side S of the textures in texels
    region : (S, S) bool array, the part of the atlas that the network completes
    mean : (S, S, 3) uint8 array, mean of the training textures
    usual_hair : (S, S) float32 array in [0, 1], share of people with hair at each texel; None: the network does not
        know the classes of texels
    """

    def __init__(self, network: GatedInpainting, device: str = "cpu") -> None:
        self.device = torch.device(device)
        self.network = channels_last(network.eval().requires_grad_(False).to(self.device))
        self.size = network.config.size
        self.region: BoolArray = network.region.cpu().numpy()
        mean = network.mean.cpu().permute(1, 2, 0).add(1).mul(127.5)
        self.mean: ByteArray = mean.round().clamp(0, 255).to(torch.uint8).contiguous().numpy()
        self.usual_hair: Float32Array | None = network.usual_hair.cpu().numpy() if network.config.classes else None

    @one_thread()
    def predict(self, textures: ByteArray, known: BoolArray, hair: BoolArray | None = None) -> ByteArray:
        """Predict all texels with the last stage, including known ones.

        Parameters
        ----------
        textures : (b, S, S, 3) uint8 array
        known : (b, S, S) bool array
        hair : (b, S, S) bool array
            Texels with hair, also of those that are not known; a network without classes does not use it.

        Returns
        -------
        (b, S, S, 3) uint8 array

        Raises
        ------
        ValueError, TypeError
            If the arrays have another type or shape, S is not the size of the network, or hair is missing.
        """
        known = check_textures(textures, known, self.size)
        masks = [known]
        if hair is not None and self.network.config.classes:
            masks.append(check.bool_array(hair, "hair", known.shape))
        with torch.inference_mode():
            tensors = (torch.from_numpy(mask)[:, None].to(self.device) for mask in masks)
            return as_bytes(self.network(as_texture(textures, self.device), *tensors).last)

    def complete(self, textures: ByteArray, known: BoolArray, hair: BoolArray | None = None) -> ByteArray:
        """Return textures (b, S, S, 3) with unknown texels replaced by the prediction; arguments as in `predict`."""
        return np.where(known[..., None], textures, self.predict(textures, known, hair))


def as_texture(textures: ByteArray, device: torch.device) -> Tensor:
    """Convert uint8 textures (b, S, S, 3) to (b, 3, S, S) in [-1, 1], in channels-last memory format."""
    image = torch.from_numpy(np.ascontiguousarray(textures)).to(device).permute(0, 3, 1, 2)
    return image.float().div(127.5).sub(1).contiguous(memory_format=torch.channels_last)


def as_bytes(textures: Tensor) -> ByteArray:
    """Convert textures (b, 3, S, S) in [-1, 1] to uint8 (b, S, S, 3)."""
    image = textures.float().add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8)
    return np.ascontiguousarray(image.permute(0, 2, 3, 1).cpu().numpy())


@one_thread()
def load_gated_inpainting(device: str = "cpu", path: str | os.PathLike[str] | None = None) -> Inpainter:
    """Load the trained network from the package, or from the weight file at `path`.

    Raises
    ------
    ValueError
        If the device is not available.
    WeightsError
        If the weight file is missing, damaged or has another configuration.
    """
    check_device(device)
    config, state = load_weights("gated_inpainting", GatedInpaintingConfig, path)
    try:
        network = GatedInpainting(config)
        load_state(network, "gated_inpainting", state)
    except ValueError as error:
        raise WeightsError(f"the weights of gated_inpainting cannot be used: {error}") from error
    return Inpainter(network, device)
