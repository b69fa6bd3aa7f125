"""`facegeom prepare textures`: make complete textures and occlusion masks to train texture completion.

There are three kinds of textures. "three": a frontal photo and photos from both sides, joined as in appendix A of the
thesis on fully textured heads. "two": a frontal photo and a photo from one side, whose mirror image fills the other
side. "frontal": one nearly frontal photo, completed by its mirror image. The mean texture fills the remaining
texels. Each texture has a mask of the texels that a photo shows; errors are measured on these texels only.
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
from facegeom._internal.files import write_npz
from facegeom._internal.threads import limit_worker_to_one_thread
from facegeom.errors import FacegeomError
from facegeom.texture.blending import Layer, match_colors, middle_third, overlay, three_views
from facegeom.texture.occluders import load_statistics
from facegeom.training.data.labels import Labels, add_labelled_photos, find_photos, yaw_deg
from facegeom.training.data.split import identity as identity_of
from facegeom.training.data.split import split_names
from facegeom.training.texture.masks import MaskOptions, draw_masks
from facegeom.training.texture.photo_textures import REJECTIONS, SIZE, PhotoBaker, PhotoOptions

log = logging.getLogger("facegeom")

KINDS = ("three", "two", "frontal")
PARTS = ("training", "validation", "test")


@dataclass(frozen=True)
class TextureDataOptions:
    """Choice of the photos that are joined, and limits beyond which the result is rejected."""

    frontal_deg: float = 20.0  # largest absolute yaw, degrees, of a photo that is completed by its mirror image
    center_deg: float = 15.0  # largest absolute yaw of the frontal photo joined with side views, degrees
    side_deg: float = 20.0  # smallest absolute yaw of a side view, degrees
    photos_per_person: int = 4  # largest number of frontal photos of one person; a few people have hundreds
    tries: int = 3  # largest number of photos tried for each side and for the front; most turned sides first
    most_misfit: float = 0.2  # largest robust RMS of the log colour ratios of two photos (different lighting)
    most_expression: float = 1.2  # largest norm of the difference of the expression coefficients of two photos
    least_seen: float = 0.5  # a texture is dropped if its photos show less than this share of `TextureSet.region`
    test_textures: int = 500  # largest number of test textures
    test_frontal_deg: float = 32.0  # `frontal_deg` for test identities, degrees; larger, to get enough textures


class CompleteTexture(NamedTuple):
    """One complete texture, with the mask of the texels that photos show."""

    texture: ByteArray  # (S, S, 3) uint8
    seen: BoolArray  # (S, S) texels that a photo shows
    kind: str  # "three", "two" or "frontal"
    identity: str


@dataclass(frozen=True)
class TextureSet:
    """Complete textures and occlusion masks, as `read_textures` returns them.

    Attributes
    ----------
    textures : (n, S, S, 3) uint8 array
        Complete textures on the whole atlas; extrapolated smoothly outside `region`.
    seen : (n, S, S) bool array
        Texels of `region` that a photo of the person shows.
    kind : (n,) str array
        Kind of the texture: "three", "two" or "frontal".
    identity : (n,) str array
        Name of the person.
    split : (n,) str array
        Set of the person: "training", "validation" or "test".
    masks : (m, S, S) bool array
        Occlusion masks: True for known texels; False outside `region`.
    region : (S, S) bool array
        Texels with ground truth: the part of the face that depth maps contain, and the eyeballs.
    """

    textures: ByteArray
    seen: BoolArray
    kind: np.ndarray
    identity: np.ndarray
    split: np.ndarray
    masks: BoolArray
    region: BoolArray

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write all fields to one uncompressed .npz file; after an error there is no incomplete file.

        `seen` and `masks` are stored as bits, packed along the last axis by `numpy.packbits`. The additional entry
        `size` is S, the number of valid bits in a row.
        """
        size = self.region.shape[-1]
        arrays = {"size": size} | {
            name: getattr(self, name) for name in ("textures", "kind", "identity", "split", "region")
        }
        arrays |= {name: np.packbits(getattr(self, name), axis=-1) for name in ("seen", "masks")}
        write_npz(path, arrays, compressed=False)


def read_textures(path: str | os.PathLike[str]) -> TextureSet:
    """Read a file written by `facegeom prepare textures`.

    Parameters
    ----------
    path : str or path
        Path of the file.

    Returns
    -------
    TextureSet

    Raises
    ------
    FileNotFoundError
        If the file does not exist.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"there are no textures at {path}: make them with `facegeom prepare textures`")
    with np.load(path) as data:
        size = int(data["size"])
        seen, masks = (np.unpackbits(data[k], axis=-1, count=size).astype(np.bool_) for k in ("seen", "masks"))
        return TextureSet(data["textures"], seen, data["kind"], data["identity"], data["split"], masks, data["region"])


def plan(labels: Labels, rows: IntArray, options: TextureDataOptions, *, all_frontal: bool = False) -> list[IntArray]:
    """Return the photos of each person from which textures are baked, as rows of the labels.

    The photos are nearly frontal, or the most turned photos of each side if there is a frontal photo to be joined with
    a side view.

    Parameters
    ----------
    labels : Labels
    rows : (r,) int array
        Usable rows of the labels.
    options : TextureDataOptions
    all_frontal : bool
        Whether to use all frontal photos of a person instead of `options.photos_per_person`.

    Returns
    -------
    list of (k,) int arrays
        One array of rows for each person with at least one such photo.
    """
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
) -> tuple[list[CompleteTexture], Counter[str]]:
    """Return the complete textures of one person.

    Parameters
    ----------
    baker : PhotoBaker
    rows : sequence of int
        Rows of the labels, all of one identity.
    options : TextureDataOptions

    Returns
    -------
    textures : list of CompleteTexture
    counts : Counter
        Numbers of accepted and rejected photos, pairs of photos and textures, by reason.
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
        out.append(CompleteTexture(texture, seen & baker.region, kind, person))
    return out, counts


def _combined(
    baker: PhotoBaker,
    layers: dict[int, Layer],
    yaw: dict[int, float],
    centers: Sequence[int],
    options: TextureDataOptions,
    counts: Counter[str],
) -> Iterator[tuple[ByteArray, BoolArray, str]]:
    """Yield at most one texture (joined from side views and a frontal photo of a person), its seen texels, its kind."""
    turned = sorted((row for row in layers if abs(yaw[row]) > options.side_deg), key=lambda row: -abs(yaw[row]))
    if not turned:
        return
    best: dict[int, tuple[float, int, Layer]] = {}  # side -> misfit, frontal photo, side view in colours of the latter
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
        matched = match_colors(layer, layers[center])  # both sides may be matched to different frontal photos
        if own == center or matched.misfit <= options.most_misfit:
            sides[side] = matched.layer
    yield join_views(layers[center], sides.get(1), sides.get(-1), baker.last_layers())


def join_views(
    center: Layer, left: Layer | None, right: Layer | None, last: Sequence[Layer] = ()
) -> tuple[ByteArray, BoolArray, str]:
    """Return a complete texture joined from views with matching colours.

    The method is described in appendix A of the thesis on fully textured heads.

    Parameters
    ----------
    center : Layer
        Frontal view.
    left, right : Layer or None
        Views that show the left and the right part of the atlas; at least one of the two is needed.
    last : sequence of Layer
        Layers for texels that neither the views nor their mirror images show.

    Returns
    -------
    texture : (S, S, 3) uint8 array
    seen : (S, S) bool array
        Texels that a view shows.
    kind : str
        "two" or "three".

    Raises
    ------
    ValueError
        If both `left` and `right` are None.
    """
    if left is None and right is None:
        raise ValueError("left and right must not both be None: at least one must be a Layer")
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


def _make(job: tuple[str, IntArray]) -> tuple[list[CompleteTexture], Counter[str]]:
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
    """Return all complete textures of labelled photos, and occlusion masks.

    Parameters
    ----------
    photos : dict of str to Path
        File name of a photo -> path.
    labels : Labels
        Fits of the photos.
    rows : (r,) int array, optional
        Rows of the labels to use. By default all usable labels.
    options : TextureDataOptions
    masks : int
        Number of occlusion masks, drawn from photos of training identities.
    processes : int
        Number of worker processes.

    Returns
    -------
    textures : TextureSet
    counts : Counter
        Numbers of accepted and rejected photos, pairs of photos and textures, by reason.

    Raises
    ------
    FacegeomError
        If no photo gives a texture.
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
    made: dict[str, list[CompleteTexture]] = {part: [] for part in PARTS}
    counts = Counter[str]()
    context = get_context("spawn")  # the threads of torch do not work in forked processes
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
        raise FacegeomError(f"none of the {len(usable)} photos gives a texture; counts of the reasons: {dict(counts)}")
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
    """Return the texels with ground truth, (S, S) bool, for the shipped face model; see `covered_region`."""
    from facegeom.face_model import load_face_model
    from facegeom.texture.baking import Atlas
    from facegeom.training.texture.photo_textures import covered_region

    model = load_face_model()
    return covered_region(model, Atlas(model.faces, model.uv, model.uv_faces, SIZE))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `facegeom prepare textures` to a parser."""
    add_labelled_photos(parser)
    parser.add_argument(
        "--out", "-o", default="runs/textures.npz", help="path of the file to write (default: %(default)s)"
    )
    parser.add_argument(
        "--processes", type=int, default=os.cpu_count() or 1, help="number of worker processes (default: %(default)s)"
    )


def run(args: argparse.Namespace) -> int:
    """Make textures and masks, write them to a file, and print their numbers; return the exit code."""
    textures, counts = make_textures(find_photos(args.photos), Labels.load(args.labels), processes=args.processes)
    Path(args.out).parent.mkdir(parents=True, exist_ok=True)
    textures.save(args.out)
    print("; ".join(f"{name}: {count}" for name, count in sorted(counts.items())))
    for part in PARTS:
        kinds = Counter(textures.kind[textures.split == part].tolist())
        print(f"{part}: " + ", ".join(f"{kinds[kind]} {kind}" for kind in KINDS))
    print(f"{len(textures.masks)} masks; the region covers {textures.region.mean():.1%} of the atlas")
    return 0
