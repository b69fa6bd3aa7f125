"""`facegeom prepare textures`: complete textures and occlusion masks, for training texture completion.

A person's photos from both sides and from the front give one texture as the paper's appendix A joins it; one side and
the front give one with the mirrored turned photo for the other side; a photo from near the front is completed by its
own mirror image. What is left after that is the mean texture's. Which texels some photo really showed goes with each,
since only these may be counted in a figure.
"""

from __future__ import annotations

import argparse
import logging
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from tqdm import tqdm

from facegeom._internal.arrays import BoolArray, ByteArray, IntArray
from facegeom._internal.files import write_atomically
from facegeom._internal.threads import limit_worker_to_one_thread
from facegeom.errors import FacegeomError
from facegeom.texture.blending import Layer, match_colors, middle_third, overlay, three_views
from facegeom.texture.occluders import load_statistics
from facegeom.training.data.labels import Labels, find_photos, yaw_deg
from facegeom.training.data.split import identity as identity_of
from facegeom.training.data.split import split_names
from facegeom.training.texture.masks import MaskOptions, draw_masks
from facegeom.training.texture.photos import REJECTIONS, SIZE, PhotoBaker, PhotoOptions

log = logging.getLogger("facegeom")

KINDS = ("three", "two", "frontal")
PARTS = ("training", "validation", "test")


@dataclass(frozen=True)
class TextureDataOptions:
    """Which photos are joined, and when what they give is refused."""

    frontal_deg: float = 20.0  # yaw up to which a photo is completed by its own mirror image
    center_deg: float = 15.0  # yaw up to which a photo is the view from the front between others
    side_deg: float = 20.0  # yaw from which a photo is a view from the side
    photos_per_person: int = 4  # frontal photos used; a few people have hundreds
    tries: int = 3  # sides tried for each combined texture, the most turned first
    most_misfit: float = 0.2  # robust rms of log colour ratios between two photos, beyond which their light differs
    most_expression: float = 1.2  # norm of the difference of expression coefficients between two photos
    least_seen: float = 0.5  # share of the region that real photos must have shown
    test_textures: int = 500
    test_frontal_deg: float = 32.0  # in place of `frontal_deg`, so that the test identities give that many: figures
    # count what was seen, not what the mirror image says


class Texture(NamedTuple):
    """One complete texture: (S, S, 3) uint8, the (S, S) bool mask of what photos showed, its kind and its person."""

    texture: ByteArray
    seen: BoolArray
    kind: str
    identity: str


@dataclass(frozen=True)
class TextureSet:
    """Complete textures and masks, as `read_textures` returns them.

    Attributes
    ----------
    textures : (n, S, S, 3) uint8
        Complete over the whole atlas; beyond `region` a smooth continuation.
    seen : (n, S, S) bool, texels of the region that a photo of that person showed
    kind : (n,) str, "three", "two" or "frontal"
    identity : (n,) str
    split : (n,) str, "training", "validation" or "test", by identity
    masks : (m, S, S) bool, True where known; False outside the region
    region : (S, S) bool, texels that ground truth covers: the face as depth maps show it, and the eyeballs
    """

    textures: ByteArray
    seen: BoolArray
    kind: np.ndarray
    identity: np.ndarray
    split: np.ndarray
    masks: BoolArray
    region: BoolArray

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write an .npz, not compressed, whole or not at all: the fields, masks of bits packed along their last axis.

        `seen` and `masks` are stored as `numpy.packbits` gives them, and `size` says how many bits of a row count.
        """
        size = self.region.shape[-1]
        arrays = {name: getattr(self, name) for name in ("textures", "kind", "identity", "split", "region")}
        arrays |= {name: np.packbits(getattr(self, name), axis=-1) for name in ("seen", "masks")}

        def write(temporary: Path) -> None:
            with open(temporary, "wb") as stream:
                np.savez(stream, size=size, **arrays)

        write_atomically(Path(path), write)


def read_textures(path: str | os.PathLike[str]) -> TextureSet:
    """Read the file of `facegeom prepare textures`.

    Raises
    ------
    FileNotFoundError
        When there is no such file.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"there are no textures at {path}: make them with `facegeom prepare textures`")
    with np.load(path) as data:
        size = int(data["size"])
        seen, masks = (np.unpackbits(data[k], axis=-1, count=size).astype(np.bool_) for k in ("seen", "masks"))
        return TextureSet(data["textures"], seen, data["kind"], data["identity"], data["split"], masks, data["region"])


def plan(labels: Labels, rows: IntArray, options: TextureDataOptions, *, all_frontal: bool = False) -> list[IntArray]:
    """Return, person by person, the rows to bake: frontal ones, and the most turned ones where both can be joined."""
    people: dict[str, list[int]] = {}
    for row in rows:
        people.setdefault(identity_of(str(labels.names[row])), []).append(int(row))
    yaw = yaw_deg(labels.rotation)
    out = []
    for mine in people.values():
        angle = yaw[mine]
        order = np.argsort(np.abs(angle), kind="stable")
        front = [mine[i] for i in order if abs(angle[i]) <= options.frontal_deg]
        sides = [mine[i] for i in order[::-1] if abs(angle[i]) > options.side_deg]
        left = [row for row in sides if yaw[row] > 0][: options.tries]
        right = [row for row in sides if yaw[row] < 0][: options.tries]
        if not any(abs(a) <= options.center_deg for a in angle):
            left, right = [], []
        chosen = (front if all_frontal else front[: options.photos_per_person]) + left + right
        if chosen:
            out.append(np.array(sorted(set(chosen))))
    return out


def person_textures(
    baker: PhotoBaker, rows: Sequence[int], options: TextureDataOptions
) -> tuple[list[Texture], Counter[str]]:
    """Return the complete textures of one person's photos, and what was refused for which reason.

    Parameters
    ----------
    baker : PhotoBaker
    rows : rows of the labels, all of one identity
    options : TextureDataOptions
    """
    labels, counts = baker.labels, Counter[str]()
    layers: dict[int, Layer] = {}
    for row, baked in zip(rows, baker.bake(rows), strict=True):
        counts[f"photo: {REJECTIONS[baked.reason]}"] += 1
        if baked.reason == 0:
            layers[row] = baked.layer
    yaw = {row: float(yaw_deg(labels.rotation[row])) for row in layers}
    person = identity_of(str(labels.names[rows[0]]))
    by_yaw = sorted(layers, key=lambda row: abs(yaw[row]))
    centers = [row for row in by_yaw if abs(yaw[row]) <= options.center_deg]
    made: list[tuple[ByteArray, BoolArray, str]] = []
    if centers:
        made += _combined(baker, layers, yaw, centers, options, counts)
    for row in by_yaw:
        if abs(yaw[row]) <= options.frontal_deg:
            layer = layers[row]
            made.append((overlay([layer, layer.mirrored(), *baker.last_layers()]), layer.known, "frontal"))
    out = []
    for texture, seen, kind in made:
        share = float(seen[baker.region].mean())
        if share < options.least_seen:
            counts[f"{kind}: too little seen"] += 1
            continue
        counts[f"{kind}: kept"] += 1
        out.append(Texture(texture, seen & baker.region, kind, person))
    return out, counts


def _combined(
    baker: PhotoBaker,
    layers: dict[int, Layer],
    yaw: dict[int, float],
    centers: Sequence[int],
    options: TextureDataOptions,
    counts: Counter[str],
) -> Iterator[tuple[ByteArray, BoolArray, str]]:
    """Yield at most one texture of a person's views from the side and the front."""
    turned = sorted((row for row in layers if abs(yaw[row]) > options.side_deg), key=lambda row: -abs(yaw[row]))
    if not turned:
        return
    best: dict[int, tuple[float, int, Layer]] = {}  # by side: misfit, center, the side in the center's colours
    for side in (1, -1):
        for row in (row for row in turned if yaw[row] * side > 0):
            for center in centers[: options.tries]:
                expression = baker.labels.expression[[row, center]].astype(np.float64)
                if float(np.linalg.norm(expression[0] - expression[1])) > options.most_expression:
                    counts["pair: expression"] += 1
                    continue
                matched = match_colors(layers[row], layers[center])
                if matched.misfit > options.most_misfit:
                    counts["pair: light"] += 1
                    continue
                counts["pair: kept"] += 1
                if side not in best or matched.misfit < best[side][0]:
                    best[side] = matched.misfit, center, matched.layer
    if not best:
        return
    center = min(best.values())[1] if len(best) == 1 else best[min(best, key=lambda s: best[s][0])][1]
    sides = {}
    for side, (_, own, layer) in best.items():
        matched = match_colors(layer, layers[center])  # where the other side went with another photo from the front
        if own == center or matched.misfit <= options.most_misfit:
            sides[side] = matched.layer
    yield join_views(layers[center], sides.get(1), sides.get(-1), baker.last_layers())


def join_views(
    center: Layer, left: Layer | None, right: Layer | None, last: Sequence[Layer] = ()
) -> tuple[ByteArray, BoolArray, str]:
    """Return a complete texture of views in the same colours, the texels they really showed, and its kind.

    Parameters
    ----------
    center : the view from the front
    left, right : views that show the left and the right of the atlas well; at least one of them
    last : layers for what neither these nor their mirror images show

    Raises
    ------
    ValueError
        When both sides are missing.
    """
    if left is None and right is None:
        raise ValueError("left and right are both None, at least one must be a Layer")
    real = [layer for layer in (left, right) if layer is not None]
    mirrored = [layer.mirrored() for layer in (*real, center)]
    thirds = []
    shown = []
    for own in (left, center, right):
        first = [own] if own is not None and own is not center else []
        others = [layer for layer in real if layer is not own]
        order = [*first, center, *others]
        thirds.append(overlay([*order, *mirrored, *last]))
        shown.append(np.any([layer.known for layer in order], axis=0))
    middle = middle_third(len(center.texture))
    seen = np.concatenate([shown[0][:, : middle.start], shown[1][:, middle], shown[2][:, middle.stop :]], axis=1)
    return three_views(*thirds), seen, "two" if left is None or right is None else "three"


_worker: tuple[PhotoBaker, TextureDataOptions] | None = None


def _start(photos: dict[str, Path], labels: Labels, options: TextureDataOptions, photo_options: PhotoOptions) -> None:
    global _worker
    from facegeom.networks.facevision import load_facevision

    cv2.setNumThreads(0)
    limit_worker_to_one_thread()
    _worker = PhotoBaker(load_facevision(), photos, labels, load_statistics(), photo_options), options


def _make(job: tuple[str, IntArray]) -> tuple[list[Texture], Counter[str]]:
    if _worker is None:
        raise RuntimeError("the worker has not been started")
    part, rows = job
    baker, options = _worker
    return person_textures(baker, [int(row) for row in rows], _options_of(part, options))


def _options_of(part: str, options: TextureDataOptions) -> TextureDataOptions:
    return replace(options, frontal_deg=options.test_frontal_deg) if part == "test" else options


def _mask(job: tuple[IntArray, int, int]) -> BoolArray:
    if _worker is None:
        raise RuntimeError("the worker has not been started")
    rows, count, seed = job
    return draw_masks(_worker[0], rows, count, np.random.default_rng(seed), MaskOptions())


def make_textures(
    photos: dict[str, Path],
    labels: Labels,
    rows: IntArray | None = None,
    options: TextureDataOptions = TextureDataOptions(),
    *,
    masks: int = MaskOptions().count,
    processes: int = 1,
) -> tuple[TextureSet, Counter[str]]:
    """Return all complete textures of labelled photos and masks, and counts of what was kept and refused.

    Parameters
    ----------
    photos : paths by name
    labels : fits of those photos
    rows : those of the labels to use; all that were kept when left out
    options : TextureDataOptions
    masks : occlusion masks to draw, from photos of the training identities
    processes : worker processes

    Raises
    ------
    FacegeomError
        When no photo gives a texture.
    """
    split = split_names([str(name) for name in labels.names])
    have = [row for row in (labels.kept if rows is None else rows) if str(labels.names[row]) in photos]
    usable = np.array(have, dtype=np.int64)
    parts = {part: np.intersect1d(getattr(split, part), usable) for part in PARTS}
    work = [
        (part, mine)
        for part in PARTS
        for mine in plan(labels, parts[part], _options_of(part, options), all_frontal=part == "test")
    ]
    made: dict[str, list[Texture]] = {part: [] for part in PARTS}
    counts = Counter[str]()
    context = get_context("spawn")  # torch's threads do not survive a fork
    arguments = (photos, labels, options, PhotoOptions())
    pool_rows = parts["training"] if len(parts["training"]) else usable
    seed = MaskOptions().seed
    jobs = [(pool_rows, len(part), seed + i) for i, part in enumerate(np.array_split(range(masks), -(-masks // 20)))]
    with ProcessPoolExecutor(processes, context, _start, arguments) as pool:
        results = pool.map(_make, work, chunksize=4)
        for (part, _), (textures, some) in zip(work, tqdm(results, total=len(work), unit="person"), strict=True):
            made[part] += textures
            counts += some
        drawn = [mask for some in tqdm(pool.map(_mask, jobs), total=len(jobs), desc="masks") for mask in some]
    order = {kind: i for i, kind in enumerate(KINDS)}
    made["test"] = sorted(made["test"], key=lambda t: order[t.kind])[: options.test_textures]
    textures = [texture for part in PARTS for texture in made[part]]
    if not textures:
        raise FacegeomError(f"none of the {len(usable)} photos gives a texture: {dict(counts)}")
    parts_of = np.repeat(PARTS, [len(made[part]) for part in PARTS])
    region = region_of_textures()
    result = TextureSet(
        np.stack([t.texture for t in textures]),
        np.stack([t.seen for t in textures]),
        np.array([t.kind for t in textures]),
        np.array([t.identity for t in textures]),
        parts_of,
        np.array(drawn, np.bool_).reshape(len(drawn), *region.shape),
        region,
    )
    return result, counts


def region_of_textures() -> BoolArray:
    """Return the (S, S) mask of the texels that ground truth covers, for the shipped face model."""
    from facegeom.face_model import load_face_model
    from facegeom.texture.baking import Atlas
    from facegeom.training.texture.photos import covered_region

    model = load_face_model()
    return covered_region(model, Atlas(model.faces, model.uv, model.uv_faces, SIZE))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare `facegeom prepare textures`."""
    parser.add_argument("photos", help="folder of photos")
    parser.add_argument("--labels", required=True, help="file of `facegeom prepare labels`")
    parser.add_argument("--out", "-o", default="runs/textures.npz", help="file to write (default: %(default)s)")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)


def run(args: argparse.Namespace) -> int:
    """Make the textures and the masks and write them."""
    textures, counts = make_textures(find_photos(args.photos), Labels.load(args.labels), processes=args.processes)
    Path(args.out).parent.mkdir(parents=True, exist_ok=True)
    textures.save(args.out)
    print("; ".join(f"{name}: {count}" for name, count in sorted(counts.items())))
    for part in PARTS:
        kinds = Counter(textures.kind[textures.split == part].tolist())
        print(f"{part}: " + ", ".join(f"{kinds[kind]} {kind}" for kind in KINDS))
    print(f"{len(textures.masks)} masks; the region is {textures.region.mean():.1%} of the atlas")
    return 0
