"""Search of an image by the three networks of MTCNN (`facegeom.networks.mtcnn`).

Except for those of `find`, all boxes in this module are in corner coordinates: (0, 0) is the top-left corner of the
top-left pixel.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch

from facegeom._internal.arrays import ByteArray, FloatArray, IntArray
from facegeom._internal.threads import load_once
from facegeom.detection.found_face import FoundFace
from facegeom.images.boxes import squares, suppress
from facegeom.networks.mtcnn import PROPOSAL_STRIDE, WINDOWS, Mtcnn, MtcnnConfig, OutputNet, RefineNet, normalise
from facegeom.networks.weights import load_weights

SEARCH_SIDE = 320
"""Length in pixels of the longer side of the searched image, unless a small `min_face` needs a larger image."""

SMALLEST_FACE = 16
"""Side length in pixels of the smallest face in the searched image; the networks were trained with faces from 16."""

PADDING_GRAY = 128
"""Gray value, 0 to 255, of the pixels of a window that lie outside the image."""


@dataclass(frozen=True)
class SearchOptions:
    """Thresholds of the search. The paper gives no values; these are common values, lowered for turned faces."""

    pyramid_step: float = 0.7071  # ratio of neighbouring scales of the image pyramid
    proposal_score: float = 0.5  # minimum probability of a box after the proposal network
    refine_score: float = 0.3  # minimum probability of a box after the refinement network
    level_overlap: float = 0.5  # maximum IoU of two kept proposals of one scale
    overlap: float = 0.7  # maximum IoU of two boxes kept after the proposal or the refinement network
    final_overlap: float = 0.4  # maximum intersection / smaller area of two boxes kept after the output network
    most_proposals: int = 160  # maximum number of boxes kept after the proposal network
    most_refined: int = 24  # maximum number of boxes kept after the refinement network


@dataclass(frozen=True)
class Scored:
    """Boxes (n, 4) in corner coordinates of the searched image and their probabilities (n,)."""

    boxes: FloatArray
    scores: FloatArray

    def __getitem__(self, rows: IntArray | slice) -> Scored:
        return Scored(self.boxes[rows], self.scores[rows])

    def __len__(self) -> int:
        return len(self.scores)


def find(photo: ByteArray, min_face: float | None = None) -> list[FoundFace]:
    """Return the upright faces of a photo (h, w, 3) uint8 RGB, in pixels of the photo, highest score first.

    Parameters
    ----------
    photo : (h, w, 3) uint8 array
    min_face : side length in pixels of the smallest face; None: 1/20 of the longer side, but at least 16
    """
    height, width = photo.shape[:2]
    scale = min(1.0, SEARCH_SIDE / max(height, width) if min_face is None else SMALLEST_FACE / min_face)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    image = photo if scale == 1.0 else _resize(photo, size)
    least = max(float(SMALLEST_FACE), scale * (min_face or 0.0))
    found = search(shipped(), image, least, np.empty((0, 4)), SearchOptions())
    boxes = found.boxes / np.tile([size[0] / width, size[1] / height], 2) - 0.5
    return [FoundFace.of_box(box, score) for box, score in zip(boxes, found.scores.tolist(), strict=True)]


def search(network: Mtcnn, image: ByteArray, least: float, extra: FloatArray, options: SearchOptions) -> Scored:
    """Find the faces in an image; return boxes with probabilities. The output network also scores the boxes `extra`.

    Parameters
    ----------
    network : Mtcnn in evaluation mode
    image : (h, w, 3) uint8 RGB
    least : side length of the smallest face in pixels
    extra : (k, 4) float array, additional boxes in corner coordinates
    options : SearchOptions
    """
    found = propose(network, image, least, options)
    found = refine(network, image, found.boxes, options)
    return judge(network, image, np.concatenate([found.boxes, extra]), options)


@torch.inference_mode()
def propose(network: Mtcnn, image: ByteArray, least: float, options: SearchOptions) -> Scored:
    """Apply the proposal network to all levels of an image pyramid; return the boxes, highest probability first."""
    boxes, scores = [np.empty((0, 4))], [np.empty(0)]
    side = WINDOWS["p"]
    height, width = image.shape[:2]
    scale = side / least
    while min(height, width) * scale >= side:
        size = (int(width * scale + 0.5), int(height * scale + 0.5))
        level = _resize(image, size)
        logits, offsets = network.p(normalise(torch.from_numpy(level)[None]))
        probability = torch.sigmoid(logits[0]).numpy()
        row, column = np.nonzero(probability >= options.proposal_score)
        if len(row):
            corner = np.stack([column, row], axis=1) * float(PROPOSAL_STRIDE)
            window = np.concatenate([corner, corner + side], axis=1)
            found = place(window, offsets[0].numpy()[:, row, column].T.astype(np.float64))
            score = probability[row, column].astype(np.float64)
            best = np.argsort(-score, kind="stable")[: 4 * options.most_proposals]
            best = best[suppress(found[best], score[best], options.level_overlap)]
            boxes.append(found[best] * np.tile([width / size[0], height / size[1]], 2))
            scores.append(score[best])
        scale *= options.pyramid_step
    box, score = np.concatenate(boxes), np.concatenate(scores)
    keep = suppress(box, score, options.overlap)[: options.most_proposals]
    return Scored(box[keep], score[keep])


def refine(network: Mtcnn, image: ByteArray, boxes: FloatArray, options: SearchOptions) -> Scored:
    """Apply the refinement network to boxes; return the accepted, corrected boxes, highest probability first."""
    found = look(network.r, WINDOWS["r"], image, boxes)
    found = found[np.flatnonzero(found.scores >= options.refine_score)]
    return found[suppress(found.boxes, found.scores, options.overlap)[: options.most_refined]]


def judge(network: Mtcnn, image: ByteArray, boxes: FloatArray, options: SearchOptions) -> Scored:
    """Apply the output network to boxes; return the corrected boxes after suppression, highest probability first."""
    found = look(network.o, WINDOWS["o"], image, boxes)
    keep = suppress(found.boxes, found.scores, options.overlap)
    found = found[keep]
    return found[suppress(found.boxes, found.scores, options.final_overlap, of_smaller=True)]


@torch.inference_mode()
def look(network: RefineNet | OutputNet, side: int, image: ByteArray, boxes: FloatArray) -> Scored:
    """Apply a network to the squares around boxes (n, 4); return its boxes and probabilities in the same order."""
    if not len(boxes):
        return Scored(np.empty((0, 4)), np.empty(0))
    window, crops = cut(image, squares(boxes), side)
    logits, offsets = network(normalise(torch.from_numpy(crops)))
    return Scored(place(window, offsets.numpy().astype(np.float64)), torch.sigmoid(logits).numpy().astype(np.float64))


def place(window: FloatArray, offsets: FloatArray) -> FloatArray:
    """Return the boxes (n, 4) with given network offsets (n, 4) relative to square windows (n, 4)."""
    side = window[:, 2:3] - window[:, :1]
    centre = 0.5 * (window[:, :2] + window[:, 2:]) + side * offsets[:, :2]
    half = 0.5 * side * np.exp(np.clip(offsets[:, 2:], -2.0, 2.0))
    return np.concatenate([centre - half, centre + half], axis=1)


def offsets_of(window: FloatArray, boxes: FloatArray) -> FloatArray:
    """Return the offsets (n, 4) of boxes (n, 4) relative to square windows (n, 4): the inverse of `place`."""
    side = window[:, 2:3] - window[:, :1]
    centre = 0.5 * (boxes[:, :2] + boxes[:, 2:] - window[:, :2] - window[:, 2:]) / side
    return np.concatenate([centre, np.log((boxes[:, 2:] - boxes[:, :2]) / side)], axis=1)


def cut(image: ByteArray, boxes: FloatArray, side: int) -> tuple[FloatArray, ByteArray]:
    """Cut square windows out of an image.

    Parameters
    ----------
    image : (h, w, 3) uint8
    boxes : (n, 4) float array, squares in corner coordinates, which may extend beyond the image
    side : side length of each crop in pixels

    Returns
    -------
    (n, 4) float array, (n, side, side, 3) uint8 array
        The squares rounded to whole pixels, and their contents, gray outside the image.
    """
    extent = np.maximum(np.rint(boxes[:, 2] - boxes[:, 0]), 2).astype(np.int64)
    corner = np.rint(0.5 * (boxes[:, :2] + boxes[:, 2:]) - 0.5 * extent[:, None]).astype(np.int64)
    height, width = image.shape[:2]
    crops = np.empty((len(boxes), side, side, 3), dtype=np.uint8)
    for crop, (x, y), size in zip(crops, corner, extent, strict=True):
        x0, y0, x1, y1 = max(x, 0), max(y, 0), min(x + size, width), min(y + size, height)
        window = image[y0:y1, x0:x1]
        if x1 - x0 < size or y1 - y0 < size:
            inside = window
            window = np.full((size, size, 3), PADDING_GRAY, dtype=np.uint8)
            if x1 > x0 and y1 > y0:
                window[y0 - y : y1 - y, x0 - x : x1 - x] = inside
        crop[...] = _resize(window, (side, side))
    return np.concatenate([corner, corner + extent[:, None]], axis=1).astype(np.float64), crops


@load_once(maxsize=1)
def shipped() -> Mtcnn:
    """Load the networks that come with facegeom; the result is cached."""
    config, state = load_weights("detector", MtcnnConfig)
    network = Mtcnn(config)
    network.load_state_dict(state)
    return network.eval()


def _resize(image: ByteArray, size: tuple[int, int]) -> ByteArray:
    smaller = size[0] < image.shape[1]
    method = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, size, interpolation=method), dtype=np.uint8)
