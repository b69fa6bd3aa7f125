"""`facegeom evaluate texture`: texture completion on the test identities, beside mirroring and OpenCV's inpainting.

The figures are those of table 4.1 of the thesis on full textured heads. Its 1.36 and 2.02 % of mask L1 are given
without saying over what the mean is taken, so both are measured: over the masked texels, and over all texels of the
completed texture, the known ones counting zero. Only masked texels that a photo of the identity really showed count.
"""

from __future__ import annotations

import argparse
import pickle
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
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
from facegeom.measures.report import picture_folder, sheet, show, table, write_json
from facegeom.networks.facevision import load_facevision
from facegeom.networks.gated_inpainting import Inpainter, as_bytes, as_texture, load_gated_inpainting
from facegeom.networks.texture_critic import TextureCritic, critic_scores
from facegeom.training.texture.complete_textures import TextureSet, read_textures
from facegeom.training.texture.losses import PerceptualLoss, critic_loss
from facegeom.training.texture.samples import draw_known, held_out_masks, mean_texture, rows_of, scaled

BATCH = 10
MASK_SEED = 20  # of the masks: mask i is drawn with the seed (MASK_SEED, i), whatever is measured
TELEA_RADIUS = 5.0  # texels
SHARES = (0.2, 0.4)  # of the region: small masks hide less than the first, large ones more than the second
BASELINES = ("mirror", "telea")


@dataclass(frozen=True)
class MaskedCase:
    """One test texture and what of it is known.

    Attributes
    ----------
    truth : (S, S, 3) uint8 array
    known : (S, S) bool array
    counted : (S, S) bool array
        Masked, in the region and really seen in a photo of the identity.
    hidden_share : of the region, masked
    identity : str
    """

    truth: ByteArray
    known: BoolArray
    counted: BoolArray
    hidden_share: float
    identity: str


@dataclass(frozen=True)
class CaseError:
    """One method's errors on one case, in percent of the range of colours.

    Attributes
    ----------
    method : str
    identity : str
    hidden_share : float
    masked : L1 over the counted texels; NaN where there are none
    whole : L1 over all texels of the texture, known and uncounted ones zero
    perceptual : relative L1 of the features of the completed texture, see `PerceptualLoss`
    critic : the critic's loss ("D loss"), not in percent; NaN without a critic
    gan : the negative of its score of the completed texture ("GAN loss"), likewise
    """

    method: str
    identity: str
    hidden_share: float
    masked: float
    whole: float
    perceptual: float
    critic: float
    gan: float


class Judges:
    """What scores completed textures as a whole: FaceVision's features, and a training's critic where one is given.

    Parameters
    ----------
    perceptual : PerceptualLoss
    region : (S, S) bool array
    critic : TextureCritic, optional
    adversary : which loss it was trained by, see `critic_loss`
    """

    def __init__(
        self,
        perceptual: PerceptualLoss,
        region: BoolArray,
        critic: TextureCritic | None = None,
        adversary: str = "wgan",
    ) -> None:
        self.perceptual, self.region, self.critic, self.adversary = perceptual, region, critic, adversary

    def scores(self, completed: ByteArray, case: MaskedCase) -> tuple[float, float, float]:
        """Return perceptual loss in percent, critic's loss and GAN loss; beyond the region both textures are alike."""
        images = [np.where(self.region[..., None], image, case.truth) for image in (completed, case.truth)]
        both = as_texture(np.stack(images), torch.device("cpu"))
        fake, real = both[:1], both[1:]
        kept = torch.from_numpy(case.known | ~self.region)[None, None].float()
        with torch.inference_mode():
            relative = 100 * float(self.perceptual(fake, real))
            if self.critic is None:
                return relative, float("nan"), float("nan")
            loss = float(critic_loss(self.critic, real, fake, kept, self.adversary))
            return relative, loss, -float(critic_scores(self.critic, fake, kept))


def load_critic(path: Path) -> tuple[TextureCritic, str]:
    """Return the critic in the checkpoint of a training of both stages, and its adversary's name.

    Raises
    ------
    FacegeomError
        When the file is no such checkpoint.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        options = state["options"]
        critic = TextureCritic(options["critic_width"], spectral=options["adversary"] == "sn-patchgan")
        critic.load_state_dict(state["critic"])
    except (KeyError, TypeError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise FacegeomError(f"{path.name} is no checkpoint of a training of both stages") from error
    return critic.eval(), str(options["adversary"])


def masked_cases(textures: TextureSet, limit: int | None = None) -> list[MaskedCase]:
    """Return the test textures, each with a mask of its own: the held-out occlusion masks and strokes, fixed seeds.

    Raises
    ------
    FacegeomError
        When there are no textures of test identities.
    """
    masks = held_out_masks(textures)
    cases = []
    for number, row in enumerate(rows_of(textures, "test")[:limit]):
        known = draw_known(np.random.default_rng([MASK_SEED, number]), masks, textures.region)
        hidden = textures.region & ~known
        share = float(hidden.sum() / textures.region.sum())
        counted = hidden & textures.seen[row]
        cases.append(MaskedCase(textures.textures[row], known, counted, share, str(textures.identity[row])))
    return cases


def complete_by_mirror(texture: ByteArray, known: BoolArray, mean: ByteArray) -> ByteArray:
    """Return the texture with its mirror image where that is known, and the mean texture where neither is.

    Parameters
    ----------
    texture : (S, S, 3) uint8 array
    known : (S, S) bool array
    mean : (S, S, 3) uint8 array

    Returns
    -------
    (S, S, 3) uint8 array
        The mean moved by the known texels' mean difference from it: a fair baseline knows the colour of the skin.
    """
    moved = mean.astype(np.float32)
    if known.any():
        moved += (texture[known].astype(np.float32) - mean[known]).mean(0)
    filled = np.where(known[:, ::-1, None], texture[:, ::-1], np.clip(np.rint(moved), 0, 255).astype(np.uint8))
    return np.where(known[..., None], texture, filled)


def complete_by_telea(texture: ByteArray, known: BoolArray, region: BoolArray) -> ByteArray:
    """Return the texture inpainted within the region by OpenCV (Telea 2004); arrays as in `complete_by_mirror`."""
    hidden = (region & ~known).astype(np.uint8)
    # Beyond the region there is nothing to continue from: what is known is continued over it first.
    distance = cv2.distanceTransformWithLabels(
        (~known).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )[1]
    nearest = np.zeros((int(distance.max()) + 1, 3), np.uint8)
    nearest[distance[known]] = texture[known]
    padded = np.where((region & known)[..., None], texture, nearest[distance])
    filled = np.asarray(cv2.inpaint(padded, hidden, TELEA_RADIUS, cv2.INPAINT_TELEA))
    return np.where(known[..., None], texture, filled)


def answers(network: Inpainter, cases: Sequence[MaskedCase], mean: ByteArray) -> Iterator[dict[str, ByteArray]]:
    """Yield the completed textures of each case by method: coarse, refined (where there is one) and the baselines.

    Beyond the network's region they are black.
    """
    for start in range(0, len(cases), BATCH):
        batch = cases[start : start + BATCH]
        truth = np.stack([case.truth for case in batch])
        known = np.stack([case.known for case in batch])
        shown = np.where(known[..., None], truth, 0).astype(np.uint8)  # so that nothing masked can leak
        with torch.inference_mode():
            stages = network.network(
                as_texture(shown, network.device), torch.from_numpy(known)[:, None].to(network.device)
            )
        for i, case in enumerate(batch):
            out = {"coarse": as_bytes(stages.coarse[i : i + 1])[0]}
            if stages.refined is not None:
                out["refined"] = as_bytes(stages.refined[i : i + 1])[0]
            out["mirror"] = complete_by_mirror(shown[i], case.known, mean)
            out["telea"] = complete_by_telea(shown[i], case.known, network.region)
            kept = case.known | ~network.region
            yield {name: np.where(kept[..., None], shown[i], answer) for name, answer in out.items()}


def measure(method: str, completed: ByteArray, case: MaskedCase, judges: Judges) -> CaseError:
    """Return the errors of one completed texture, (S, S, 3) uint8."""
    error = np.abs(completed.astype(np.float32) - case.truth).mean(-1) * case.counted / 2.55
    count = int(case.counted.sum())
    masked = float(error.sum() / count) if count else float("nan")
    return CaseError(
        method, case.identity, case.hidden_share, masked, float(error.mean()), *judges.scores(completed, case)
    )


def size_name(share: float) -> str:
    """Return the class of a mask by the share of the region that it hides.

    Examples
    --------
    >>> [size_name(share) for share in (0.1, 0.2, 0.4, 0.5)]
    ['< 20 %', '20-40 %', '20-40 %', '> 40 %']
    """
    if share < SHARES[0]:
        return "< 20 %"
    return "20-40 %" if share <= SHARES[1] else "> 40 %"


def summarise(errors: Sequence[CaseError]) -> dict[str, Any]:
    """Return the mean errors of each method, over all cases and by the size of the mask, and the gain on baselines."""
    rows: list[dict[str, Any]] = []
    for method in dict.fromkeys(error.method for error in errors):
        mine = [error for error in errors if error.method == method and np.isfinite(error.masked)]
        for size in ("all", "< 20 %", "20-40 %", "> 40 %"):
            these = [error for error in mine if size in ("all", size_name(error.hidden_share))]
            if these:
                rows.append(
                    {
                        "method": method,
                        "masks": size,
                        "textures": len(these),
                        **{
                            f"{name}_percent": float(np.mean([getattr(error, name) for error in these]))
                            for name in ("masked", "whole", "perceptual")
                        },
                        **{
                            name: float(np.mean([getattr(error, name) for error in these]))
                            for name in ("critic", "gan")
                        },
                    }
                )
    overall = {row["method"]: row["masked_percent"] for row in rows if row["masks"] == "all"}
    baseline = min((overall[name] for name in BASELINES if name in overall), default=float("nan"))
    gains = {name: 100 * (1 - value / baseline) for name, value in overall.items() if name not in BASELINES}
    return {"benchmark": "texture", "rows": rows, "lower_than_better_baseline_percent": gains}


def format_summary(summary: dict[str, Any]) -> str:
    """Return the figures of `summarise` as a table."""
    header = ["method", "masks", "textures", "L1 masked %", "L1 whole %", "perceptual %", "D loss", "GAN loss"]
    keys = ("method", "masks", "textures", "masked_percent", "whole_percent", "perceptual_percent", "critic", "gan")
    text = table(header, [[row[key] for key in keys] for row in summary["rows"]], digits=3)
    gains = summary["lower_than_better_baseline_percent"]
    return "\n".join([text, *(f"{name}: {gain:.1f} % below the better baseline" for name, gain in gains.items())])


def row_pictures(case: MaskedCase, completed: dict[str, ByteArray], region: BoolArray) -> list[ByteArray]:
    """Return tiles of one case: truth and what is known of it, within the region, and each method's answer."""
    shown = [np.where(mask[..., None], case.truth, 0).astype(np.uint8) for mask in (region, case.known)]
    return [*shown, *completed.values()]


def evaluate(
    network: Inpainter,
    textures: TextureSet,
    *,
    limit: int | None = None,
    rows: Sequence[int] = (),
    checkpoint: Path | None = None,
) -> tuple[list[CaseError], list[ByteArray], list[str]]:
    """Return the errors of every method on every test texture, and pictures of the chosen ones with captions.

    Parameters
    ----------
    network : Inpainter
    textures : TextureSet
    limit : at most so many test textures
    rows : numbers of the test textures that pictures are made of
    checkpoint : of a training of both stages, whose critic scores the textures too

    Raises
    ------
    FacegeomError
        When there are no textures of test identities.
    """
    textures = scaled(textures, network.size)
    cases, mean = masked_cases(textures, limit), mean_texture(textures)
    critic = () if checkpoint is None else load_critic(checkpoint)
    judges = Judges(PerceptualLoss(load_facevision().generator), textures.region, *critic)
    errors: list[CaseError] = []
    tiles: list[ByteArray] = []
    captions: list[str] = []
    for number, completed in enumerate(tqdm(answers(network, cases, mean), total=len(cases), unit="texture")):
        case = cases[number]
        found = [measure(name, image, case, judges) for name, image in completed.items()]
        errors += found
        if number in rows:
            tiles += row_pictures(case, completed, textures.region)
            captions += ["truth", f"{case.hidden_share:.0%} hidden"]
            captions += [f"{error.method} {error.masked:.2f} %" for error in found]
    return errors, tiles, captions


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare `facegeom evaluate texture`."""
    parser.add_argument("textures", metavar="FILE", help="file of `facegeom prepare textures`")
    parser.add_argument("--weights", type=Path, help="weight file instead of the shipped one")
    parser.add_argument("--checkpoint", type=Path, help="of the training of both stages: its critic's losses too")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--limit", type=int, help="at most so many textures")
    parser.add_argument(
        "--rows",
        type=int,
        nargs="+",
        default=list(range(8)),
        help="test textures that are drawn (default: the first 8)",
    )
    parser.add_argument("--json", metavar="FILE", help="write the figures as JSON")
    parser.add_argument("--out", "-o", metavar="FOLDER", help="folder for the pictures")


def run(args: argparse.Namespace) -> int:
    """Measure, print the table, and write figures and pictures where asked."""
    if args.limit is not None:
        check.count(args.limit, "--limit", 1)
    network = load_gated_inpainting(args.device, args.weights)
    textures = read_textures(args.textures)
    errors, tiles, captions = evaluate(network, textures, limit=args.limit, rows=args.rows, checkpoint=args.checkpoint)
    summary = summarise(errors)
    show(format_summary(summary))
    if args.json:
        write_json(args.json, {**summary, "textures": errors})
    if args.out and tiles:
        columns = len({error.method for error in errors}) + 2
        save_image(sheet(tiles, columns, network.size, captions), picture_folder(args.out) / "texture.png")
    return 0
