"""`facegeom prepare textures`: make textures of whole heads and occlusion masks to train texture completion.

Every photo gives one texture, with a mask of the texels that it shows: turned photos are partial textures. If a person
has photos from several sides, they are joined as in appendix A of the thesis on fully textured heads: "three" from a
frontal photo and photos from both sides, "two" from a frontal photo and a photo from one side. The skins of the assets
are whole textures. Losses and errors are computed on seen texels only; the others are filled by the mirror image and
then smoothly.
"""

from __future__ import annotations

import argparse
import logging
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from tqdm import tqdm

from facegeom._internal.arrays import BoolArray, ByteArray, IntArray
from facegeom._internal.threads import limit_worker_to_one_thread
from facegeom.errors import FacegeomError
from facegeom.texture.blending import Layer, match_colors, middle_third, overlay, three_views
from facegeom.texture.texel_classes import NONE
from facegeom.training.data.assets import Assets, add_assets
from facegeom.training.data.labels import Labels, add_labelled_photos, find_photos, yaw_deg
from facegeom.training.data.split import identity as identity_of
from facegeom.training.data.split import split_names
from facegeom.training.texture.head_textures import (
    REJECTIONS,
    SIZE,
    HeadBaker,
    HeadTexture,
    HeadTextureOptions,
    ears_seen,
    head_atlas,
)
from facegeom.training.texture.masks import MaskOptions, draw_masks
from facegeom.training.texture.skin_textures import skin_textures
from facegeom.training.texture.texture_set import KINDS, SPLITS, TextureSet

log = logging.getLogger("facegeom")


@dataclass(frozen=True)
class TextureDataOptions:
    """Choice of the photos that are joined, and limits beyond which the result is rejected."""

    center_deg: float = 15.0  # largest absolute yaw of the frontal photo joined with side views, degrees
    side_deg: float = 20.0  # smallest absolute yaw of a side view, degrees
    photos_per_person: int = 4  # largest number of photos of one person, most frontal first; a few people have hundreds
    tries: int = 3  # largest number of photos tried for each side and for the front; most turned sides first
    most_misfit: float = 0.2  # largest robust RMS of the log colour ratios of two photos (different lighting)
    most_expression: float = 1.2  # largest norm of the difference of the expression coefficients of two photos
    test_textures: int = 500  # largest number of test textures of photos


class PersonTexture(NamedTuple):
    """One texture of a person.

    Attributes
    ----------
    texture, seen, hair : as in `TextureSet`
    kind : "three", "two" or "photo"
    identity : name of the person
    row : row of the labels of the (frontal) photo
    refused : (S, S) bool array, texels at which this photo shows something else, see `HeadTexture`
    """

    texture: ByteArray
    seen: BoolArray
    hair: BoolArray
    kind: str
    identity: str
    row: int
    refused: BoolArray


def plan(labels: Labels, rows: IntArray, options: TextureDataOptions, *, all_photos: bool = False) -> list[IntArray]:
    """Return the photos of each person from which textures are baked, as rows of the labels.

    These are the most frontal photos, and the most turned photos of each side if there is a frontal photo to be joined
    with a side view.

    Parameters
    ----------
    labels : Labels
    rows : (r,) int array
        Usable rows of the labels.
    options : TextureDataOptions
    all_photos : bool
        Whether to use all photos of a person instead of `options.photos_per_person`.

    Returns
    -------
    list of (k,) int arrays
        One array of rows for each person.
    """
    people: dict[str, list[int]] = {}
    for row in rows:
        people.setdefault(identity_of(str(labels.names[row])), []).append(int(row))
    yaw = yaw_deg(labels.rotation)
    out = []
    for mine in people.values():
        by_yaw = [mine[i] for i in np.argsort(np.abs(yaw[mine]), kind="stable")]
        sides: list[int] = []
        if abs(yaw[by_yaw[0]]) <= options.center_deg:
            turned = [row for row in by_yaw[::-1] if abs(yaw[row]) > options.side_deg]
            for sign in (1, -1):
                sides += [row for row in turned if yaw[row] * sign > 0][: options.tries]
        chosen = by_yaw if all_photos else by_yaw[: options.photos_per_person] + sides
        out.append(np.array(sorted(set(chosen))))
    return out


def person_textures(
    baker: HeadBaker, rows: Sequence[int], options: TextureDataOptions
) -> tuple[list[PersonTexture], Counter[str]]:
    """Return the textures of one person.

    Parameters
    ----------
    baker : HeadBaker
    rows : sequence of int
        Rows of the labels, all of one identity.
    options : TextureDataOptions

    Returns
    -------
    textures : list of PersonTexture
    counts : Counter
        Numbers of accepted and rejected photos, pairs of photos and textures, by reason.
    """
    labels, counts = baker.labels, Counter[str]()
    baked: dict[int, HeadTexture] = {}
    for row in rows:
        found = baker.bake(row)
        counts[f"photo: {REJECTIONS[found.reason]}"] += 1
        if found.reason == 0:
            baked[row] = found
    yaw = {row: float(yaw_deg(labels.rotation[row])) for row in baked}
    person = identity_of(str(labels.names[rows[0]]))
    by_yaw = sorted(baked, key=lambda row: abs(yaw[row]))
    centers = [row for row in by_yaw if abs(yaw[row]) <= options.center_deg]
    out = []
    if centers:
        for joined in _combined(baker, baked, yaw, centers, options, counts):
            out.append(joined._replace(identity=person))
    for row in by_yaw:
        layer, hair, refused, _ = baked[row]
        texture = overlay([layer, layer.mirrored()])
        out.append(PersonTexture(texture, layer.known, hair, "photo", person, row, refused))
    counts.update(f"texture: {made.kind}" for made in out)
    return out, counts


def _combined(
    baker: HeadBaker,
    baked: dict[int, HeadTexture],
    yaw: dict[int, float],
    centers: Sequence[int],
    options: TextureDataOptions,
    counts: Counter[str],
) -> Iterator[PersonTexture]:
    """Yield at most one texture, joined from side views and a frontal photo of a person."""
    layers = {row: texture.layer for row, texture in baked.items()}
    turned = sorted((row for row in layers if abs(yaw[row]) > options.side_deg), key=lambda row: -abs(yaw[row]))
    if not turned:
        return
    best: dict[int, tuple[float, int, int]] = {}  # side -> misfit, frontal photo, side view
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
                    best[side] = matched.misfit, center, row
    if not best:
        return
    center = min(best.values())[1] if len(best) == 1 else best[min(best, key=lambda s: best[s][0])][1]
    sides: dict[int, HeadTexture] = {}
    for side, (_, own, row) in best.items():
        matched = match_colors(layers[row], layers[center])
        if own == center or matched.misfit <= options.most_misfit:  # both sides may fit different frontal photos
            sides[side] = baked[row]._replace(layer=matched.layer)
    views = [baked[center], *(sides[side] for side in (1, -1) if side in sides)]
    left, right = (sides[side].layer if side in sides else None for side in (1, -1))
    texture, seen, kind = join_views(layers[center], left, right)
    known = np.array([view.layer.known for view in views])
    hair = np.array([view.hair for view in views]).sum(axis=0) * 2 > known.sum(axis=0)
    yield PersonTexture(texture, seen, seen & hair, kind, "", center, baked[center].refused)


def join_views(center: Layer, left: Layer | None, right: Layer | None) -> tuple[ByteArray, BoolArray, str]:
    """Return a complete texture joined from views with matching colours.

    The method is described in appendix A of the thesis on fully textured heads.

    Parameters
    ----------
    center : Layer
        Frontal view.
    left, right : Layer or None
        Views that show the left and the right part of the atlas; at least one of the two is needed.

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
        thirds.append(overlay([*order, *mirrored]))
        shown.append(np.any([layer.known for layer in order], axis=0))
    middle = middle_third(len(center.texture))
    seen = np.concatenate([shown[0][:, : middle.start], shown[1][:, middle], shown[2][:, middle.stop :]], axis=1)
    return three_views(*thirds), seen, "two" if left is None or right is None else "three"


_worker: tuple[HeadBaker, TextureDataOptions] | None = None


def _start(photos: dict[str, Path], labels: Labels, options: TextureDataOptions, limits: HeadTextureOptions) -> None:
    global _worker
    cv2.setNumThreads(0)
    limit_worker_to_one_thread()
    _worker = HeadBaker(photos, labels, limits), options


def _make(rows: IntArray) -> tuple[list[PersonTexture], Counter[str]]:
    if _worker is None:
        raise RuntimeError("the worker has not been started")
    return person_textures(_worker[0], [int(row) for row in rows], _worker[1])


def _masks(job: tuple[list[int], list[BoolArray], int]) -> BoolArray:
    if _worker is None:
        raise RuntimeError("the worker has not been started")
    rows, refused, seed = job
    return draw_masks(_worker[0], rows, refused, np.random.default_rng(seed), MaskOptions())


def make_textures(
    photos: dict[str, Path],
    labels: Labels,
    rows: IntArray | None = None,
    options: TextureDataOptions = TextureDataOptions(),
    *,
    assets: Assets | None = None,
    masks: int = MaskOptions().count,
    processes: int = 1,
) -> tuple[TextureSet, Counter[str]]:
    """Return the textures of labelled photos and of the skins of assets, and occlusion masks.

    Parameters
    ----------
    photos : dict of str to Path
        File name of a photo -> path.
    labels : Labels
        Fits of the photos.
    rows : (r,) int array, optional
        Rows of the labels to use. By default all usable labels.
    options : TextureDataOptions
    assets : Assets, optional
        The skins that are held out are test textures, the others training textures.
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
    work = [
        (part, mine)
        for part in SPLITS
        for mine in plan(labels, np.intersect1d(getattr(split, part), usable), options, all_photos=part == "test")
    ]
    made: dict[str, list[PersonTexture]] = {part: [] for part in SPLITS}
    counts = Counter[str]()
    context = get_context("spawn")  # the threads of torch do not work in forked processes
    arguments = (photos, labels, options, HeadTextureOptions())
    with ProcessPoolExecutor(processes, context, _start, arguments) as pool:
        results = pool.map(_make, [mine for _, mine in work], chunksize=4)
        for (part, _), (textures, some) in zip(work, tqdm(results, total=len(work), unit="person"), strict=True):
            made[part] += textures
            counts += some
        if not any(made.values()):
            raise FacegeomError(f"none of the {len(usable)} photos gives a texture; counts: {dict(counts)}")
        jobs = _mask_jobs(made["training"] or [texture for part in SPLITS for texture in made[part]], masks)
        drawn = [mask for some in tqdm(pool.map(_masks, jobs), total=len(jobs), desc="masks") for mask in some]
    order = {kind: i for i, kind in enumerate(KINDS)}
    made["test"] = sorted(made["test"], key=lambda t: order[t.kind])[: options.test_textures]
    if assets is not None:
        for part, held_out in (("training", False), ("test", True)):
            made[part] += _of_skins(assets.part(held_out=held_out))
    textures = [texture for part in SPLITS for texture in made[part]]
    part_of_head = head_atlas(SIZE).part
    result = TextureSet(
        np.stack([t.texture for t in textures]),
        np.stack([t.seen for t in textures]),
        np.stack([t.hair for t in textures]),
        np.array([t.kind for t in textures]),
        np.array([t.identity for t in textures]),
        np.repeat(SPLITS, [len(made[part]) for part in SPLITS]),
        np.array(drawn, np.bool_).reshape(len(drawn), *part_of_head.shape),
        part_of_head,
    )
    return result, counts


def _mask_jobs(textures: Sequence[PersonTexture], count: int) -> list[tuple[list[int], list[BoolArray], int]]:
    """Return the arguments of `_masks`: heads and photos for `count` masks, in small groups."""
    rng = np.random.default_rng(MaskOptions().seed)
    jobs = []
    for number, group in enumerate(np.array_split(rng.integers(len(textures), size=(count, 2)), -(-count // 20))):
        rows = [textures[i].row for i in group[:, 0]]
        jobs.append((rows, [textures[i].refused for i in group[:, 1]], MaskOptions().seed + number))
    return jobs


def _of_skins(assets: Assets) -> list[PersonTexture]:
    """Return the textures of the skins of assets."""
    head = head_atlas(SIZE)
    made = skin_textures(head.template, head.atlas, assets)
    region = np.asarray(head.part != NONE)
    nothing = np.zeros_like(region)
    return [
        PersonTexture(texture, region, hair, "skin", str(name), -1, nothing)
        for texture, hair, name in zip(made.textures, made.hair, made.names, strict=True)
    ]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `facegeom prepare textures` to a parser."""
    add_labelled_photos(parser)
    add_assets(parser)
    parser.add_argument(
        "--out", "-o", default="runs/textures.npz", help="path of the file to write (default: %(default)s)"
    )
    parser.add_argument(
        "--processes", type=int, default=os.cpu_count() or 1, help="number of worker processes (default: %(default)s)"
    )


def run(args: argparse.Namespace) -> int:
    """Make textures and masks, write them to a file, and print their numbers; return the exit code."""
    assets = None if args.assets is None else Assets.load(args.assets)
    labels = Labels.load(args.labels)
    textures, counts = make_textures(find_photos(args.photos), labels, assets=assets, processes=args.processes)
    Path(args.out).parent.mkdir(parents=True, exist_ok=True)
    textures.save(args.out)
    print("; ".join(f"{name}: {count}" for name, count in sorted(counts.items())))
    for part in SPLITS:
        mine = textures.split == part
        kinds = Counter(textures.kind[mine].tolist())
        of_photos = mine & (textures.kind != "skin")
        ears = int(ears_seen(textures.seen[of_photos], textures.part).sum())
        print(f"{part}: " + ", ".join(f"{kinds[kind]} {kind}" for kind in KINDS) + f"; an ear in {ears} of photos")
    print(f"{len(textures.masks)} masks; the region covers {textures.region.mean():.1%} of the atlas")
    return 0
