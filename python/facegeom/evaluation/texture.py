"""`facegeom evaluate texture`: texture completion on test identities, compared with mirroring and OpenCV inpainting.

The measured figures are the ones in table 4.1 of the thesis on fully textured heads. The thesis does not state over
which texels its mask L1 errors of 1.36 and 2.02 % are averaged. Two means are therefore measured: over the masked
texels, and over all texels of the completed texture (known texels have the error 0). Only masked texels that are
visible in a photo of the identity contribute. The first mean is also given for face, ears, neck, scalp and hairline; a
network that completes the face only has no figures for the others.
"""

from __future__ import annotations

import argparse
import pickle
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from tqdm import tqdm

from facegeom._internal import check
from facegeom._internal.arrays import BoolArray, ByteArray
from facegeom.errors import FacegeomError
from facegeom.images.image_files import save_image
from facegeom.images.sampling import nearest_known
from facegeom.measures.report import picture_folder, sheet, show, table, write_json
from facegeom.networks.facevision import load_facevision
from facegeom.networks.gated_inpainting import Inpainter, as_bytes, as_texture, load_gated_inpainting
from facegeom.networks.texture_critic import TextureCritic, critic_scores
from facegeom.texture.completion import expected_hair
from facegeom.training.texture.losses import PerceptualLoss, critic_loss
from facegeom.training.texture.samples import (
    AREAS,
    areas,
    draw_known,
    held_out_masks,
    mean_texture,
    rows_of,
    scaled,
    usual_hair,
)
from facegeom.training.texture.texture_set import TextureSet, read_textures

BATCH = 10  # number of textures per network pass
MASK_SEED = 20  # first element of mask seeds: the mask of texture i has the seed (MASK_SEED, i), in all evaluations
TELEA_RADIUS = 5.0  # radius of the neighbourhood in OpenCV's inpainting, texels
SHARES = (0.2, 0.4)  # limits between small, medium and large masks, as a share of the texels that a texture shows
LEAST_TEXELS = 20  # smallest number of masked texels in an area from which a texture has an error there
BASELINES = ("mirror", "telea")


@dataclass(frozen=True)
class MaskedCase:
    """A texture of a test identity, and the mask of the texels that texture completion has to predict.

    Attributes
    ----------
    truth : (S, S, 3) uint8 array, the texture
    known : (S, S) bool array, texels that are input of the methods
    hair : (S, S) bool array, texels at which hair is expected from the known ones
    counted : (S, S) bool array, texels that are evaluated: masked, visible in a photo of the identity, and completed by
        the network
    areas : for each of `AREAS` the texels that belong to it, (S, S) bool
    hidden_share : masked share of the texels that the texture shows, in [0, 1]
    identity : name of the person
    kind : kind of the texture, see `TextureSet`
    """

    truth: ByteArray
    known: BoolArray
    hair: BoolArray
    counted: BoolArray
    areas: dict[str, BoolArray]
    hidden_share: float
    identity: str
    kind: str


@dataclass(frozen=True)
class CaseError:
    """The errors of one method on one case.

    Attributes
    ----------
    method : name of the method
    identity, kind, hidden_share : attributes of the MaskedCase
    masked : mean absolute error (L1) over the counted texels, percent of 255; NaN if there are none
    whole : L1 error over all texels of the texture, percent of 255; texels that are not counted have the error 0
    perceptual : L1 error of network features relative to the features of the true texture, percent, see
        `PerceptualLoss`
    critic : loss of the critic ("D loss"); NaN without a critic
    gan : negative critic score of the completed texture ("GAN loss"); NaN without a critic
    areas : "masked" of each of `AREAS`; NaN if fewer than `LEAST_TEXELS` texels of it are counted
    """

    method: str
    identity: str
    kind: str
    hidden_share: float
    masked: float
    whole: float
    perceptual: float
    critic: float
    gan: float
    areas: dict[str, float] = field(default_factory=dict)


class Judges:
    """Networks that score completed textures: a perceptual loss, and optionally a trained critic.

    Parameters
    ----------
    perceptual : PerceptualLoss
    critic : TextureCritic, optional
    adversary : the adversarial loss with which the critic was trained, see `critic_loss`
    """

    def __init__(
        self, perceptual: PerceptualLoss, critic: TextureCritic | None = None, adversary: str = "wgan"
    ) -> None:
        self.perceptual, self.critic, self.adversary = perceptual, critic, adversary

    def scores(self, completed: ByteArray, case: MaskedCase) -> tuple[float, float, float]:
        """Return the perceptual loss in percent, the critic loss and the GAN loss of a completed texture.

        Parameters
        ----------
        completed : (S, S, 3) uint8 array; only its texels that are counted are used
        case : MaskedCase
        """
        image = np.where(case.counted[..., None], completed, case.truth)
        both = as_texture(np.stack([image, case.truth]), torch.device("cpu"))
        fake, real = both[:1], both[1:]
        kept = torch.from_numpy(~case.counted)[None, None].float()
        with torch.inference_mode():
            relative = 100 * float(self.perceptual(fake, real))
            if self.critic is None:
                return relative, float("nan"), float("nan")
            loss = float(critic_loss(self.critic, real, fake, kept, self.adversary))
            return relative, loss, -float(critic_scores(self.critic, fake, kept))


def load_critic(path: Path) -> tuple[TextureCritic, str]:
    """Load the critic from a checkpoint of a training of both stages.

    Parameters
    ----------
    path : path of the checkpoint

    Returns
    -------
    critic : TextureCritic
    adversary : name of the adversarial loss with which it was trained

    Raises
    ------
    FacegeomError
        If the file is not such a checkpoint.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        options = state["options"]
        critic = TextureCritic(options["critic_width"], spectral=options["adversary"] == "sn-patchgan")
        critic.load_state_dict(state["critic"])
    except (KeyError, TypeError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise FacegeomError(f"{path.name} contains no checkpoint of a training of both stages") from error
    return critic.eval(), str(options["adversary"])


def masked_cases(textures: TextureSet, region: BoolArray, limit: int | None = None) -> list[MaskedCase]:
    """Return the textures of test identities, each with a different mask.

    A mask is either an occlusion mask that was not used for training, or a set of random strokes; the seeds are fixed.

    Parameters
    ----------
    textures : TextureSet
    region : (S, S) bool array, the texels that the network completes
    limit : largest number of textures; None: all

    Raises
    ------
    FacegeomError
        If there are no textures of test identities.
    """
    masks, usual = held_out_masks(textures), usual_hair(textures)
    cases = []
    for number, row in enumerate(rows_of(textures, "test")[:limit]):
        seen, hair = textures.seen[row], textures.hair[row]
        known = draw_known(np.random.default_rng([MASK_SEED, number]), masks, seen)
        hidden = seen & ~known
        cases.append(
            MaskedCase(
                textures.textures[row],
                known,
                expected_hair(hair, known, usual),
                hidden & region,
                areas(textures.part, seen, hair),
                float(hidden.sum() / seen.sum()),
                str(textures.identity[row]),
                str(textures.kind[row]),
            )
        )
    return cases


def complete_by_mirror(texture: ByteArray, known: BoolArray, mean: ByteArray) -> ByteArray:
    """Complete a texture by its mirror image, and by the mean texture where the mirror image is unknown, too.

    Parameters
    ----------
    texture : (S, S, 3) uint8 array
    known : (S, S) bool array, the valid texels of `texture`
    mean : (S, S, 3) uint8 array, the mean texture of the training identities

    Returns
    -------
    (S, S, 3) uint8 array

    Notes
    -----
    The mean difference between the known texels and the mean texture is added to the mean texture, so that the baseline
    uses the skin colour of the person.
    """
    adapted = mean.astype(np.float32)
    if known.any():
        adapted += (texture[known].astype(np.float32) - mean[known]).mean(0)
    filled = np.where(known[:, ::-1, None], texture[:, ::-1], np.clip(np.rint(adapted), 0, 255).astype(np.uint8))
    return np.where(known[..., None], texture, filled)


def complete_by_telea(texture: ByteArray, known: BoolArray, region: BoolArray) -> ByteArray:
    """Complete a texture by the inpainting of Telea, as implemented in OpenCV.

    Parameters
    ----------
    texture, known : as in `complete_by_mirror`
    region : (S, S) bool array; only its texels are inpainted

    Returns
    -------
    (S, S, 3) uint8 array

    References
    ----------
    Telea, An Image Inpainting Technique Based on the Fast Marching Method (2004).
    """
    hidden = (region & ~known).astype(np.uint8)
    # Inpainting also reads texels outside the region, which have no colour: use the colour of the nearest known texel.
    padded = np.where((region & known)[..., None], texture, texture.reshape(-1, 3)[nearest_known(known)])
    filled = np.asarray(cv2.inpaint(padded, hidden, TELEA_RADIUS, cv2.INPAINT_TELEA))
    return np.where(known[..., None], texture, filled)


def answers(network: Inpainter, cases: Sequence[MaskedCase], mean: ByteArray) -> Iterator[dict[str, ByteArray]]:
    """Yield the completed textures of each case: name of the method -> texture.

    Parameters
    ----------
    network : Inpainter; its stages are the methods "coarse" and, if it has a second stage, "refined"
    cases : list of MaskedCase
    mean : (S, S, 3) uint8 array, the mean texture, for the baseline "mirror"

    Yields
    ------
    dict
        Name of the method -> (S, S, 3) uint8 array, black outside the region of the network.
    """
    for start in range(0, len(cases), BATCH):
        batch = cases[start : start + BATCH]
        truth = np.stack([case.truth for case in batch])
        known = np.stack([case.known for case in batch])
        shown = np.where(known[..., None], truth, 0).astype(np.uint8)  # the methods cannot access masked texels
        masks = [known, np.stack([case.hair for case in batch])]
        tensors = (torch.from_numpy(mask)[:, None].to(network.device) for mask in masks)
        with torch.inference_mode():
            stages = network.network(as_texture(shown, network.device), *tensors)
        for i, case in enumerate(batch):
            out = {"coarse": as_bytes(stages.coarse[i : i + 1])[0]}
            if stages.refined is not None:
                out["refined"] = as_bytes(stages.refined[i : i + 1])[0]
            out["mirror"] = complete_by_mirror(shown[i], case.known, mean)
            out["telea"] = complete_by_telea(shown[i], case.known, network.region)
            kept = case.known | ~network.region
            yield {name: np.where(kept[..., None], shown[i], answer) for name, answer in out.items()}


def measure(method: str, completed: ByteArray, case: MaskedCase, judges: Judges) -> CaseError:
    """Return the errors of one completed texture.

    Parameters
    ----------
    method : name of the method
    completed : (S, S, 3) uint8 array, the completed texture
    case : MaskedCase
    judges : Judges
    """
    error = np.abs(completed.astype(np.float32) - case.truth).mean(-1) / 2.55

    def mean(texels: BoolArray, least: int) -> float:
        return float(error[texels].mean()) if texels.sum() >= least else float("nan")

    return CaseError(
        method,
        case.identity,
        case.kind,
        case.hidden_share,
        mean(case.counted, 1),
        float((error * case.counted).mean()),
        *judges.scores(completed, case),
        {name: mean(case.counted & area, LEAST_TEXELS) for name, area in case.areas.items()},
    )


def size_name(share: float) -> str:
    """Return the size class of a mask that covers the share `share` of the seen texels.

    Examples
    --------
    >>> [size_name(share) for share in (0.1, 0.2, 0.4, 0.5)]
    ['< 20 %', '20-40 %', '20-40 %', '> 40 %']
    """
    if share < SHARES[0]:
        return "< 20 %"
    return "20-40 %" if share <= SHARES[1] else "> 40 %"


SIZES = ("all", "< 20 %", "20-40 %", "> 40 %", "skins")
"""The groups of textures: all photos, photos by the size of the mask, and skins of the assets."""


def in_group(error: CaseError, group: str) -> bool:
    """Return whether an error belongs to one of `SIZES`."""
    if group == "skins" or error.kind == "skin":
        return group == "skins" and error.kind == "skin"
    return group in ("all", size_name(error.hidden_share))


def summarise(errors: Sequence[CaseError]) -> dict[str, Any]:
    """Return the mean errors of each method, and their reduction relative to the better baseline.

    Returns
    -------
    dict
        "rows": one row per method and group of `SIZES`;
        "lower_than_better_baseline_percent": method -> reduction of the error "masked" and of that of each area,
        percent, over all photos.
    """
    rows: list[dict[str, Any]] = []
    for method in dict.fromkeys(error.method for error in errors):
        of_method = [error for error in errors if error.method == method and np.isfinite(error.masked)]
        for group in SIZES:
            members = [error for error in of_method if in_group(error, group)]
            if members:
                row: dict[str, Any] = {"method": method, "masks": group, "textures": len(members)}
                for name in ("masked", "whole", "perceptual"):
                    row[f"{name}_percent"] = _mean([getattr(error, name) for error in members])
                for name in AREAS:
                    row[f"{name}_percent"] = _mean([error.areas.get(name, float("nan")) for error in members])
                for name in ("critic", "gan"):
                    row[name] = _mean([getattr(error, name) for error in members])
                rows.append(row)
    overall = {row["method"]: row for row in rows if row["masks"] == "all"}
    gains: dict[str, dict[str, float]] = {name: {} for name in overall if name not in BASELINES}
    for key in ("masked", *AREAS):
        values = {name: row[f"{key}_percent"] for name, row in overall.items()}
        baseline = min((values[name] for name in BASELINES if name in values), default=float("nan"))
        for name in gains:
            gains[name][key] = 100 * (1 - values[name] / baseline)
    return {"benchmark": "texture", "rows": rows, "lower_than_better_baseline_percent": gains}


def _mean(values: Sequence[float]) -> float:
    """Return the mean of the numbers among values; NaN if there are none."""
    finite = [value for value in values if np.isfinite(value)]
    return float(np.mean(finite)) if finite else float("nan")


def format_summary(summary: dict[str, Any]) -> str:
    """Return the result of `summarise` as a text table; errors are L1 in percent."""
    named = {"masked": "L1 masked %", "whole": "whole %"} | {name: f"{name} %" for name in (*AREAS, "perceptual")}
    header = ["method", "masks", "textures", *named.values(), "D loss", "GAN loss"]
    keys = ["method", "masks", "textures", *(f"{name}_percent" for name in named), "critic", "gan"]
    text = table(header, [[row[key] for key in keys] for row in summary["rows"]], digits=2)
    lines = [
        f"{name}: L1 below the better baseline by " + ", ".join(f"{gain:.1f} % ({key})" for key, gain in gains.items())
        for name, gains in summary["lower_than_better_baseline_percent"].items()
    ]
    return "\n".join([text, *lines])


def row_pictures(case: MaskedCase, completed: dict[str, ByteArray]) -> list[ByteArray]:
    """Return the pictures of one case: the texels that are known or counted, the known ones, and all results."""
    shown = [
        np.where(mask[..., None], case.truth, 0).astype(np.uint8) for mask in (case.known | case.counted, case.known)
    ]
    return [*shown, *completed.values()]


def evaluate(
    network: Inpainter,
    textures: TextureSet,
    *,
    limit: int | None = None,
    rows: Sequence[int] = (),
    checkpoint: Path | None = None,
) -> tuple[list[CaseError], list[ByteArray], list[str]]:
    """Evaluate all methods on the textures of test identities.

    Parameters
    ----------
    network : Inpainter
    textures : TextureSet
    limit : largest number of test textures; None: all
    rows : numbers of the test textures that are drawn
    checkpoint : checkpoint of a training of both stages; its critic also scores the textures

    Returns
    -------
    errors : list of CaseError, one per case and method
    tiles : pictures of the selected cases, see `row_pictures`
    captions : one caption per picture

    Raises
    ------
    FacegeomError
        If there are no textures of test identities, or if the checkpoint is invalid.
    """
    textures = scaled(textures, network.size)
    cases, mean = masked_cases(textures, network.region, limit), mean_texture(textures)
    critic = () if checkpoint is None else load_critic(checkpoint)
    judges = Judges(PerceptualLoss(load_facevision().generator), *critic)
    errors: list[CaseError] = []
    tiles: list[ByteArray] = []
    captions: list[str] = []
    for number, completed in enumerate(tqdm(answers(network, cases, mean), total=len(cases), unit="texture")):
        case = cases[number]
        found = [measure(name, image, case, judges) for name, image in completed.items()]
        errors += found
        if number in rows:
            tiles += row_pictures(case, completed)
            captions += ["truth", f"{case.hidden_share:.0%} hidden"]
            captions += [f"{error.method} {error.masked:.2f} %" for error in found]
    return errors, tiles, captions


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `facegeom evaluate texture`."""
    parser.add_argument("textures", metavar="FILE", help="file written by `facegeom prepare textures`")
    parser.add_argument(
        "--test",
        metavar="FILE",
        help="file of `facegeom prepare textures` whose test textures are measured (default: those of the first file, "
        "which gives the mean texture, the usual hair and the masks in any case)",
    )
    parser.add_argument(
        "--weights",
        type=Path,
        metavar="FILE",
        help="weight file of the completion network (default: the weights of the package)",
    )
    parser.add_argument(
        "--checkpoint", type=Path, metavar="FILE",
        help="checkpoint of a training of both stages; the losses of the critic are measured, too",
    )  # fmt: skip
    parser.add_argument(
        "--device", default="cpu", help="device of the networks: cpu, cuda, cuda:1 or mps (default: %(default)s)"
    )
    parser.add_argument("--limit", type=int, help="largest number of test textures (default: all)")
    parser.add_argument(
        "--rows",
        type=int,
        nargs="+",
        metavar="N",
        default=list(range(8)),
        help="numbers of the test textures to draw (default: the first 8)",
    )
    parser.add_argument("--json", metavar="FILE", help="write the results to this JSON file as well")
    parser.add_argument("--out", "-o", metavar="DIR", help="write pictures of the results to this folder")


def output_files(args: argparse.Namespace) -> list[Path]:
    """Return the pictures that the command writes to the folder `--out`."""
    return [Path(args.out) / "texture.png"] if args.out else []


def run(args: argparse.Namespace) -> int:
    """Evaluate texture completion, print the table and write the requested files; return the exit code."""
    if args.limit is not None:
        check.count(args.limit, "--limit", 1)
    network = load_gated_inpainting(args.device, args.weights)
    textures = read_textures(args.textures)
    if args.test:
        textures = textures.with_test_of(read_textures(args.test))
    errors, tiles, captions = evaluate(network, textures, limit=args.limit, rows=args.rows, checkpoint=args.checkpoint)
    summary = summarise(errors)
    show(format_summary(summary))
    if args.json:
        write_json(args.json, {**summary, "textures": errors})
    if args.out and tiles:
        columns = len({error.method for error in errors}) + 2
        save_image(sheet(tiles, columns, network.size, captions), picture_folder(args.out) / "texture.png")
    return 0
