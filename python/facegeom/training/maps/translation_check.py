"""What a translation of renders into photos did: how far the face moved, and how well it passes for a photo."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from facegeom.networks.facevision import MapTensors, channels_last
from facegeom.networks.translator import translate_images
from facegeom.training.data.renderer import Sample
from facegeom.training.data.samples import FaceSamples, image_tensor
from facegeom.training.maps.loop import as_photo
from facegeom.training.maps.validation import Predict, Truth, as_picture, in_rows, known_mean, map_cells, map_errors

BATCH = 25
FLIPS = 0.5
GREY = torch.tensor(128, dtype=torch.uint8)
UNSEEN, CLASSIFIED = 1, 2  # last part of the seeds of what is measured and what the classifier learns from

Translate = Callable[[Tensor], Tensor]  # (b, 3, S, S) in [-1, 1] -> the same


@dataclass(frozen=True)
class ClassifierOptions:
    """The judge of real or rendered: trained afresh on what it is to tell apart, with the same budget each time."""

    samples: int = 1_000  # of each class to learn from
    width: int = 16  # channels of its first layer
    epochs: int = 6
    batch: int = 50
    learning_rate: float = 1e-3
    runs: int = 3  # trained so often, from other beginnings: one run differs from the next by two points and more


class Classifier(nn.Sequential):
    """Images (b, 3, S, S) -> logit of a photo (b, 1): four convolutions of stride 2, then the mean over the image."""

    def __init__(self, width: int) -> None:
        layers: list[nn.Module] = []
        below = 3
        for level in range(4):
            here = width * 2**level
            layers += [nn.Conv2d(below, here, 4, 2, 1, bias=False), nn.BatchNorm2d(here), nn.LeakyReLU(0.2)]
            below = here
        super().__init__(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(below, 1))


def draw_renders(samples: FaceSamples, size: int, seed: int, count: int, part: int = UNSEEN) -> Tensor:
    """Return renders by number that no training sees, (count, 3, S, S) uint8."""
    return _drawn(samples.render, size, seed, count, part)


def draw_photos(samples: FaceSamples, size: int, seed: int, count: int, part: int = UNSEEN) -> Tensor:
    """Return photos by number in random crops, (count, 3, S, S) uint8."""
    return _drawn(samples.photo, size, seed, count, part)


def _drawn(draw: Callable[[np.random.Generator, int], Sample], size: int, seed: int, count: int, part: int) -> Tensor:
    numbered = (draw(np.random.default_rng([seed, number, part]), size) for number in range(count))
    return torch.stack([image_tensor(sample.image) for sample in numbered])


@torch.no_grad()
def geometry_change(translate: Translate, predict: Predict, renders: Tensor, device: torch.device) -> dict[str, float]:
    """Return how far the translation moves the maps that the network sees: means over (n, 3, S, S) uint8 renders.

    depth_percent: of the depth, its mean shift removed, in percent of the face's range; mm: of the correspondence;
    iou: of the mask before and after. Where the network sees no face before, nothing can change.
    """
    rows = []
    for images in renders.split(BATCH):
        image = as_photo(images, device)
        before, after = predict(image), predict(translate(image))
        rows += map_errors(after, as_truth(before))
    return {name: known_mean([row[name] for row in rows]) for name in rows[0]}


def as_truth(maps: MapTensors) -> Truth:
    """Return what a network says as that which another look is measured against."""
    if maps.depth is None or maps.correspondence is None:
        raise ValueError("a network that says depth and correspondence is needed")
    mask = (maps.probability > 0.5).float()[:, None]
    return Truth(torch.cat([maps.depth[:, None], maps.correspondence], 1), mask, torch.ones_like(mask[:, 0, 0, 0]))


def classifier_accuracy(
    learn: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor], device: torch.device, options: ClassifierOptions
) -> float:
    """Return the accuracy of freshly trained classifiers, the mean over photos and the others and over the runs.

    Parameters
    ----------
    learn, test : photos and others, (n, 3, S, S) uint8 each
    device : where it is trained
    options : ClassifierOptions
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
            photo, label = as_photo(images[rows], device), labels[rows].to(device)
            if rng.random() < FLIPS:
                photo = photo.flip(3)
            with torch.autocast(device.type, torch.bfloat16):
                logits = network(photo)
            optimizer.zero_grad(set_to_none=True)
            functional.binary_cross_entropy_with_logits(logits.float(), label).backward()
            optimizer.step()
    network.eval()
    with torch.no_grad():
        said = [[network(as_photo(part, device)) > 0 for part in group.split(BATCH)] for group in test]
    photos, others = (float(torch.cat(group).float().mean()) for group in said)
    return (photos + 1 - others) / 2


def all_translated(translate: Translate, renders: Tensor, device: torch.device) -> Tensor:
    """Return (n, 3, S, S) uint8 renders translated, uint8 as well: what a file would hold."""
    return torch.cat([translate_images(translate, images.to(device)).cpu() for images in renders.split(BATCH)])


@torch.no_grad()
def faces_alone(images: Tensor, seen: Tensor, predict: Predict, device: torch.device) -> Tensor:
    """Return (n, 3, S, S) uint8 images grey beyond the face that the network sees in the images `seen`."""
    parts = zip(images.split(BATCH), seen.split(BATCH), strict=True)
    return torch.cat(
        [
            torch.where(predict(as_photo(look, device)).probability[:, None].cpu() > 0.5, part, GREY)
            for part, look in parts
        ]
    )


@torch.no_grad()
def translation_sheet(translate: Translate, predict: Predict, renders: Tensor, device: torch.device) -> np.ndarray:
    """Return a picture: input, its correspondence and depth, the translated image (figure 13), and its maps."""
    image = as_photo(renders, device)
    shown = translate(image)
    rows = []
    for picture in (image, shown):
        depth, correspondence = map_cells(predict(picture))
        rows += [picture / 2 + 0.5, correspondence, depth]
    return as_picture(in_rows(rows))
