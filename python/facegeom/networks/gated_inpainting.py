"""The texture completion network: deepfillv2 with gated convolutions, a coarse stage and a refinement stage.

The thesis on full textured heads (section 3.4, equation 2.9 and table B.1) takes a published deepfillv2; the layers
are those of Yu et al. 2019, "Free-Form Image Inpainting with Gated Convolution", whose contextual attention is that
of Yu et al. 2018. Decisions, with their reasons:

- `fold`: the first layer takes squares of 2 x 2 texels as one place with four times the channels, and the last one
  gives such squares back. All layers in between are the paper's at half the resolution, which takes a quarter of the
  time. 1 is the paper's network.
- `guided`: two fillings without parameters stand beside the input, and the coarse stage says what to change of them.
  `near` continues the known texels smoothly into the unknown ones; `across` is the mirrored texture (the atlas is
  symmetric, and what a photo hides is mostly the other side of what it shows), moved by the smooth continuation of how
  both sides differ where both are known. A fourth output, through a sigmoid, is how much to take of the second, where
  it is known. A new network is the mean of both there. False is the paper's, with an input of four channels (texture,
  mask): after 4,000 images of 96 texels at width 16 it was at 8.3 % of L1, where the fillings alone are at 6.9 %.
- The network says the difference from the mean of the textures it was trained on, which is kept with its weights
  beside the part of the atlas (`region`) that training textures cover. Unknown texels of an input that is
  not guided are 0, which is that mean.
- The dilated layers are added to their input. Most taps of the widest fall into the zero padding, so that the signal
  would fade: to a thirtieth over the four layers when the training begins.
- Width 64, `fold` 1: 29.0 M parameters, 58 MB in float16; 23.2 M, 47 MB without the attention branch. The published
  network has 2 x 13.4 M, 54 MB: no attention branch, and kernels of 4 x 4 and 7 x 7 where these, as in Yu et al. 2019,
  are of 3 x 3 and 5 x 5. With the defaults 4.1 M, 8.5 MB; the coarse stage alone 1.65 M.
- The last layer of a stage is a plain convolution, as in Yu et al.; the published code gates it as well.
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
from facegeom._internal.arrays import BoolArray, ByteArray
from facegeom.errors import WeightsError
from facegeom.networks.devices import check_device
from facegeom.networks.facevision import channels_last
from facegeom.networks.weights import load_weights

DILATIONS = (2, 4, 8, 16)
SHARPNESS = 10.0  # of the attention's softmax over cosines, Yu et al. 2018


@dataclass(frozen=True)
class GatedInpaintingConfig:
    """Sizes of the network."""

    size: int = 192  # side of the textures in texels, as in the paper; a multiple of 4 * fold, 8 with fold 1
    width: int = 24  # channels of the first layer (latent_channels of table B.1, 64 there)
    fold: int = 2  # texels a side that the first layer takes as one place; 1 in the paper
    guided: bool = True  # begin from the known texels continued and mirrored; the paper does not
    refinement: bool = True  # False: the coarse stage alone
    attention: bool = True  # the contextual-attention branch of the refinement


class Completed(NamedTuple):
    """What the stages say of every texel, known ones too: (b, 3, S, S) in about [-1, 1]; refined None without it."""

    coarse: Tensor
    refined: Tensor | None

    @property
    def last(self) -> Tensor:
        """The refinement's answer, the coarse stage's where there is no refinement."""
        return self.coarse if self.refined is None else self.refined


class GatedConv(nn.Module):
    """Equation 2.9: relu(W_f x) * sigmoid(W_g x), both filters in one convolution."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        self.both = nn.Conv2d(inputs, 2 * outputs, kernel, stride, dilation * (kernel // 2), dilation)  # zero padding

    def forward(self, x: Tensor) -> Tensor:
        feature, gate = self.both(x).chunk(2, 1)
        return functional.relu(feature) * gate.sigmoid()


class Up(nn.Module):
    """Twice the size by the nearest neighbour, then a gated convolution."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = GatedConv(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(functional.interpolate(x, scale_factor=2, mode="nearest"))


def _encoder(config: GatedInpaintingConfig) -> nn.Sequential:
    """Return (b, 4 or 8, S, S) -> (b, 4w, S / 4f, S / 4f), with width w and fold f."""
    width = config.width
    inputs = (8 if config.guided else 4) * config.fold**2
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
    """Return (b, inputs, S / 4f, S / 4f) -> (b, outputs, S, S)."""
    width, fold = config.width, config.fold
    return nn.Sequential(
        GatedConv(inputs, 4 * width),
        GatedConv(4 * width, 4 * width),
        Up(4 * width, 2 * width),
        GatedConv(2 * width, 2 * width),
        Up(2 * width, width),
        GatedConv(width, width),
        nn.Conv2d(width, outputs * fold**2, 3, 1, 1),
        nn.PixelShuffle(fold),
    )


class Dilated(nn.Module):
    """Gated convolutions of growing reach, each added to its input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(GatedConv(width, width, dilation=dilation) for dilation in DILATIONS)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = x + layer(x)
        return x


class ContextualAttention(nn.Module):
    """Every place as a mixture of the known places that look like it (Yu et al. 2018, section 4.1).

    Parameters
    ----------
    rate : step between the compared patches, 1 or 2; theirs are 3 x 3 of the features averaged by `rate`

    Notes
    -----
    Scores are cosines of both patches; Yu et al. normalise the known one alone. Their propagation of scores to the
    neighbours is left out: it favours copies that keep the direction, and the best one here is mirrored.
    """

    def __init__(self, rate: int) -> None:
        super().__init__()
        self.rate = rate
        self.value = (3, 1, 1) if rate == 1 else (2 * rate, rate, rate // 2)  # kernel, stride, padding

    def forward(self, x: Tensor, known: Tensor) -> Tensor:
        """Return (b, c, h, w) features mixed anew; `known` (b, 1, S, S) says which texels may be copied from."""
        small = functional.avg_pool2d(x, self.rate) if self.rate > 1 else x  # (b, c, h / rate, w / rate)
        around = functional.pad(small, (1, 1, 1, 1), mode="replicate")  # zeros would be mixed into places further in
        patches = functional.normalize(functional.unfold(around, 3).float(), dim=1, eps=1e-4)
        patches = patches.to(x.dtype)  # (b, 9c, p)
        share = functional.adaptive_avg_pool2d(known, (small.shape[2], small.shape[3])).flatten(2)  # (b, 1, p)
        scores = (patches.transpose(1, 2) @ patches).float() * SHARPNESS  # (b, p queries, p keys)
        weight = (scores + 1e4 * (share > 0.5).float()).softmax(2).to(x.dtype)  # all alike where nothing is known
        kernel, stride, padding = self.value
        around = functional.pad(x, (padding,) * 4, mode="replicate")
        values = functional.unfold(around, kernel, stride=stride)  # (b, c kernel^2, p)
        size = (x.shape[2], x.shape[3])
        mixed = functional.fold(values @ weight.transpose(1, 2), size, kernel, padding=padding, stride=stride)
        cover = functional.unfold(torch.ones_like(x[:1, :1]), kernel, padding=padding, stride=stride)
        return mixed / functional.fold(cover, size, kernel, padding=padding, stride=stride)


class Coarse(nn.Module):
    """The first stage: (b, 4 or 8, S, S) -> (b, 3 or 4, S, S), the fourth how much to take of `across`."""

    def __init__(self, config: GatedInpaintingConfig) -> None:
        super().__init__()
        self.encoder, self.dilated = _encoder(config), Dilated(4 * config.width)
        self.decoder = _decoder(config, 4 * config.width, 4 if config.guided else 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(self.dilated(self.encoder(x)))


class Refinement(nn.Module):
    """The second stage: as the first, with an attention branch of its own encoder beside the dilated one."""

    def __init__(self, config: GatedInpaintingConfig) -> None:
        super().__init__()
        width = 4 * config.width
        self.encoder, self.dilated = _encoder(config), Dilated(4 * config.width)
        if config.attention:
            self.attention_encoder = _encoder(config)
            self.attention = ContextualAttention(2 if config.fold == 1 else 1)  # patches of 8 texels either way
            self.attended = GatedConv(width, width)
        self.decoder = _decoder(config, width * (2 if config.attention else 1))

    def forward(self, x: Tensor, known: Tensor) -> Tensor:
        features = self.dilated(self.encoder(x))
        if hasattr(self, "attention"):
            looked_up = self.attended(self.attention(self.attention_encoder(x), known))
            features = torch.cat([features, looked_up], 1)
        return self.decoder(features)


class GatedInpainting(nn.Module):
    """Both stages: textures (b, 3, S, S) in [-1, 1] and which texels are known (b, 1, S, S) -> `Completed`.

    Raises
    ------
    ValueError
        When the configuration's size cannot be halved as often as the layers do, or its fold is neither 1 nor 2.
    """

    mean: Tensor  # (3, S, S) in [-1, 1], of the training textures
    region: Tensor  # (S, S) bool: what training textures cover; the network is shown nothing beyond it

    def __init__(self, config: GatedInpaintingConfig = GatedInpaintingConfig()) -> None:
        super().__init__()
        if config.fold not in (1, 2):
            raise ValueError(f"fold must be 1 or 2, got {config.fold}")
        if config.size < 16 or config.size % 8:
            raise ValueError(f"size must be a multiple of 8 of at least 16, got {config.size}")
        if config.width < 1:
            raise ValueError(f"width must be at least 1, got {config.width}")
        self.config = config
        self.coarse = Coarse(config)
        self.refinement = Refinement(config) if config.refinement else None
        self.register_buffer("mean", torch.zeros(3, config.size, config.size))
        self.register_buffer("region", torch.ones(config.size, config.size, dtype=torch.bool))

    def forward(self, texture: Tensor, known: Tensor) -> Completed:
        known = known.to(texture.dtype) * self.region
        shown = (texture - self.mean) * known
        if self.config.guided:
            near, across = fillings(shown, known)
            mirrored = known.flip(3)
            change, share = self.coarse(_joined([near, known, across, mirrored])).float().split((3, 1), 1)
            coarse = change + near + share.sigmoid() * mirrored * (across - near)
        else:
            coarse = self.coarse(_joined([shown, known])).float()
        refined = None
        if self.refinement is not None:
            # The coarse stage is trained by L1 alone (section 2.4), so nothing flows back from here.
            filled = shown + coarse.detach() * (1 - known)
            inputs = [filled, known, filled.flip(3), known.flip(3)] if self.config.guided else [filled, known]
            refined = filled + self.refinement(_joined(inputs), known).float() + self.mean
        return Completed(coarse + self.mean, refined)


def _joined(channels: list[Tensor]) -> Tensor:
    return torch.cat(channels, 1).contiguous(memory_format=torch.channels_last)


def fillings(shown: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """Return what is known continued smoothly, and mirrored with its colours matched: no parameters.

    Parameters
    ----------
    shown : (b, 3, S, S), 0 where not known
    known : (b, 1, S, S), 0 or 1

    Returns
    -------
    near, across : (b, 3, S, S) each
        `near` is `shown` where known; `across` means something where the mirrored texel is known.
    """
    mirrored = shown.flip(3)
    both = known * known.flip(3)
    return _continued(shown, known), mirrored + _continued((shown - mirrored) * both, both)


def _continued(values: Tensor, weight: Tensor) -> Tensor:
    """Return values (b, c, S, S), 0 where their weight (b, 1, S, S) is, continued to where the weight is 0.

    A pyramid of weighted means: where a level has little weight, the next coarser one shows through.
    """
    levels = [(values, weight)]
    while levels[-1][0].shape[2] % 2 == 0:
        levels.append((functional.avg_pool2d(levels[-1][0], 2), functional.avg_pool2d(levels[-1][1], 2)))
    total, mass = levels[-1]
    out = (total.sum((2, 3), keepdim=True) / mass.sum((2, 3), keepdim=True).clamp_min(1e-6)).expand_as(total)
    for total, mass in reversed(levels):
        if out.shape != total.shape:
            out = functional.interpolate(out, scale_factor=2, mode="bilinear", align_corners=False)
        share = mass if total is values else (2 * mass).clamp_max(1)  # half covered is enough for a mean
        out = out + share * (total / mass.clamp_min(1e-6) - out)
    return out


def composed(texture: Tensor, known: Tensor, answer: Tensor) -> Tensor:
    """Return the texture where it is known and the answer, within [-1, 1], elsewhere; shapes as in the network."""
    return torch.where(known > 0, texture, answer.clamp(-1, 1))


def initialise(network: nn.Module, gain: float) -> None:
    """Draw the weights of all convolutions from Xavier's normal distribution with a gain, biases zero.

    Notes
    -----
    Table B.1 has a gain of 0.02. Nothing is normalised here, so each of 16 layers would shrink the signal a
    hundredfold: the validation error did not move between 2,000 and 4,000 images. The default of the training keeps
    its size: a relu halves the second moment and an open gate of one half quarters it, so the features' gain is the
    root of 8, and the gates begin near one half.
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
    for module in last:  # the first begins as the fillings or the mean texture, the second as the first
        nn.init.zeros_(module.weight)  # type: ignore[arg-type]
        nn.init.zeros_(module.bias)  # type: ignore[arg-type]


class Inpainter:
    """A trained network, ready to complete textures."""

    def __init__(self, network: GatedInpainting, device: str = "cpu") -> None:
        self.device = torch.device(device)
        self.network = channels_last(network.eval().requires_grad_(False).to(self.device))
        self.size = network.config.size
        self.region: BoolArray = network.region.cpu().numpy()
        """(S, S) bool: the part of the atlas that the network completes."""
        mean = network.mean.cpu().permute(1, 2, 0).add(1).mul(127.5)
        self.mean: ByteArray = mean.round().clamp(0, 255).to(torch.uint8).contiguous().numpy()
        """(S, S, 3) uint8: the mean of the training textures."""

    def predict(self, textures: ByteArray, known: BoolArray) -> ByteArray:
        """Return what the last stage says of every texel, known ones included.

        Parameters
        ----------
        textures : (b, S, S, 3) uint8 array
        known : (b, S, S) bool array

        Returns
        -------
        (b, S, S, 3) uint8 array

        Raises
        ------
        ValueError
            When the arrays are of another kind, or S is not the network's size.
        """
        size = self.size
        if textures.dtype != np.uint8 or textures.ndim != 4 or textures.shape[1:] != (size, size, 3):
            raise ValueError(
                f"textures must be uint8 of shape (any, {size}, {size}, 3), got {textures.dtype} {textures.shape}"
            )
        known = check.bool_array(known, "known", (len(textures), size, size))
        with torch.inference_mode():
            answer = self.network(as_texture(textures, self.device), torch.from_numpy(known)[:, None].to(self.device))
            return as_bytes(answer.last)

    def complete(self, textures: ByteArray, known: BoolArray) -> ByteArray:
        """Return the textures with what `predict` says in place of what is not known; arrays as there."""
        return np.where(known[..., None], textures, self.predict(textures, known))


def as_texture(textures: ByteArray, device: torch.device) -> Tensor:
    """Return (b, S, S, 3) uint8 textures as (b, 3, S, S) in [-1, 1], channels last."""
    image = torch.from_numpy(np.ascontiguousarray(textures)).to(device).permute(0, 3, 1, 2)
    return image.float().div(127.5).sub(1).contiguous(memory_format=torch.channels_last)


def as_bytes(textures: Tensor) -> ByteArray:
    """Return (b, 3, S, S) in [-1, 1] as (b, S, S, 3) uint8."""
    image = textures.float().add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8)
    return np.ascontiguousarray(image.permute(0, 2, 3, 1).cpu().numpy())


def load_gated_inpainting(device: str = "cpu", path: str | os.PathLike[str] | None = None) -> Inpainter:
    """Return the trained network that the package ships, or the one in the file at `path`.

    Raises
    ------
    WeightsError
        When the weight file is missing, damaged or of another configuration.
    """
    check_device(device)
    config, state = load_weights("gated_inpainting", GatedInpaintingConfig, path)
    try:
        network = GatedInpainting(config)
        network.load_state_dict(state)
    except ValueError as error:
        raise WeightsError(f"the weights of gated_inpainting cannot be used: {error}") from error
    except RuntimeError as error:
        raise WeightsError("the weights of gated_inpainting are of another version of the network") from error
    return Inpainter(network, device)
