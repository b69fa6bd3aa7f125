"""Measures of a translator of renderings: change of predicted maps, similarity of translated renderings to photos."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from facegeom.networks.devices import mixed_precision
from facegeom.networks.facevision import MapTensors, channels_last
from facegeom.networks.translator import translate_images
from facegeom.training.data.renderer import Sample
from facegeom.training.data.samples import FaceSamples, image_tensor
from facegeom.training.loop import network_input
from facegeom.training.maps.validation import (
    Predict,
    TrueMaps,
    as_picture,
    in_rows,
    map_cells,
    map_errors,
    mean_without_nan,
)

BATCH = 25  # number of images in one forward pass
FLIPS = 0.5  # probability of mirroring in the training of the classifier
GREY = torch.tensor(128, dtype=torch.uint8)
UNSEEN, CLASSIFIED = 1, 2  # last seed element of test images and of classifier training images

Translate = Callable[[Tensor], Tensor]
"""Type of a translator: images (b, 3, S, S) in [-1, 1] -> images (b, 3, S, S) in [-1, 1]."""


@dataclass(frozen=True)
class ClassifierOptions:
    """Options for training the classifier that distinguishes photos from other images."""

    samples: int = 1_000  # number of training images of each class
    width: int = 16  # number of channels of the first layer
    epochs: int = 6
    batch: int = 50
    learning_rate: float = 1e-3
    runs: int = 3  # number of classifiers whose accuracies are averaged; accuracies of different seeds differ by 0.02


class Classifier(nn.Sequential):
    """Photo classifier: four convolutions of stride 2, global average pooling and a linear layer.

    The classifier maps images (b, 3, S, S) in [-1, 1] to logits (b, 1), positive for photos.

    Parameters
    ----------
    width : int
        Number of channels of the first layer.
    """

    def __init__(self, width: int) -> None:
        layers: list[nn.Module] = []
        below = 3
        for level in range(4):
            here = width * 2**level
            layers += [nn.Conv2d(below, here, 4, 2, 1, bias=False), nn.BatchNorm2d(here), nn.LeakyReLU(0.2)]
            below = here
        super().__init__(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(below, 1))


def draw_renders(samples: FaceSamples, size: int, seed: int, count: int, part: int = UNSEEN) -> Tensor:
    """Return renderings with seeds that no training uses, (count, 3, S, S) uint8; `part`: last seed element."""
    return _drawn(samples.render, size, seed, count, part)


def draw_photos(samples: FaceSamples, size: int, seed: int, count: int, part: int = UNSEEN) -> Tensor:
    """Return photos in random crops, (count, 3, S, S) uint8; `part`: last seed element."""
    return _drawn(samples.photo, size, seed, count, part)


def _drawn(draw: Callable[[np.random.Generator, int], Sample], size: int, seed: int, count: int, part: int) -> Tensor:
    numbered = (draw(np.random.default_rng([seed, number, part]), size) for number in range(count))
    return torch.stack([image_tensor(sample.image) for sample in numbered])


@torch.no_grad()
def geometry_change(translate: Translate, predict: Predict, renders: Tensor, device: torch.device) -> dict[str, float]:
    """Return how much the translation changes the predicted maps, averaged over renderings.

    Parameters
    ----------
    translate : Translate
    predict : Predict
    renders : (n, 3, S, S) uint8 tensor
    device : torch.device

    Returns
    -------
    dict of str to float
        depth_percent: mean absolute change of the depth after subtraction of the mean change, in percent of the depth
        range of the face; mm: mean change of the correspondence, mm; iou: intersection over union of the masks before
        and after the translation. Renderings in which the network finds no face are ignored.
    """
    rows = []
    for images in renders.split(BATCH):
        image = network_input(images, device)
        before, after = predict(image), predict(translate(image))
        rows += map_errors(after, as_true_maps(before))
    return {name: mean_without_nan([row[name] for row in rows]) for name in rows[0]}


def as_true_maps(maps: MapTensors) -> TrueMaps:
    """Convert predicted maps to `TrueMaps`, the reference for the comparison with other predictions.

    Raises
    ------
    ValueError
        If the depth or the correspondence is missing.
    """
    if maps.depth is None or maps.correspondence is None:
        raise ValueError("the network must predict depth and correspondence")
    mask = (maps.probability > 0.5).float()[:, None]
    return TrueMaps(torch.cat([maps.depth[:, None], maps.correspondence], 1), mask, torch.ones_like(mask[:, 0, 0, 0]))


def classifier_accuracy(
    learn: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor], device: torch.device, options: ClassifierOptions
) -> float:
    """Return the test accuracy of newly trained photo classifiers, averaged over both classes and over the runs.

    Parameters
    ----------
    learn, test : pairs of (n, 3, S, S) uint8 tensors
        (photos, other images) for the training and for the test of the classifiers.
    device : torch.device
    options : ClassifierOptions

    Returns
    -------
    float in [0, 1]
    """
    return float(np.mean([_accuracy(learn, test, device, options, seed) for seed in range(options.runs)]))


def _accuracy(
    learn: tuple[Tensor, Tensor],
    test: tuple[Tensor, Tensor],
    device: torch.device,
    options: ClassifierOptions,
    seed: int,
) -> float:
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    network = channels_last(Classifier(options.width).to(device))
    optimizer = torch.optim.Adam(network.parameters(), options.learning_rate)
    images = torch.cat(learn)
    labels = torch.cat([torch.ones(len(learn[0]), 1), torch.zeros(len(learn[1]), 1)])
    for _ in range(options.epochs):
        for rows in torch.from_numpy(rng.permutation(len(images))).split(options.batch):
            photo, label = network_input(images[rows], device), labels[rows].to(device)
            if rng.random() < FLIPS:
                photo = photo.flip(3)
            with mixed_precision(device):
                logits = network(photo)
            optimizer.zero_grad(set_to_none=True)
            functional.binary_cross_entropy_with_logits(logits.float(), label).backward()
            optimizer.step()
    network.eval()
    with torch.no_grad():
        said = [[network(network_input(part, device)) > 0 for part in group.split(BATCH)] for group in test]
    photos, others = (float(torch.cat(group).float().mean()) for group in said)
    return (photos + 1 - others) / 2


def translate_all(translate: Translate, renders: Tensor, device: torch.device) -> Tensor:
    """Return translated renderings as 8-bit images, (n, 3, S, S) uint8, as a file would store them."""
    return torch.cat([translate_images(translate, images.to(device)).cpu() for images in renders.split(BATCH)])


@torch.no_grad()
def grey_background(images: Tensor, seen: Tensor, predict: Predict, device: torch.device) -> Tensor:
    """Replace the background of face images by grey.

    Parameters
    ----------
    images : (n, 3, S, S) uint8 tensor
    seen : (n, 3, S, S) uint8 tensor
        Images in which the network predicts the mask of the face.
    predict : Predict
    device : torch.device

    Returns
    -------
    (n, 3, S, S) uint8 tensor
    """
    parts = zip(images.split(BATCH), seen.split(BATCH), strict=True)
    return torch.cat(
        [
            torch.where(predict(network_input(look, device)).probability[:, None].cpu() > 0.5, part, GREY)
            for part, look in parts
        ]
    )


@torch.no_grad()
def translation_sheet(translate: Translate, predict: Predict, renders: Tensor, device: torch.device) -> np.ndarray:
    """Return a picture of renderings, (h, w, 3) uint8, with one column per rendering.

    Rows: the rendering, its correspondence, its depth, the translated image (figure 13 of Sela et al. 2017), and
    the correspondence and depth of the translated image.
    """
    image = network_input(renders, device)
    shown = translate(image)
    rows = []
    for picture in (image, shown):
        depth, correspondence = map_cells(predict(picture))
        rows += [picture / 2 + 0.5, correspondence, depth]
    return as_picture(in_rows(rows))
