"""`facegeom train texture`: trains the network that completes textures, its coarse stage alone or both with a critic.

The hyperparameters are those of table B.1 of the thesis where a processor's two hours allow; where they do not, the
field's comment says what was done instead and why.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from facegeom._internal import check
from facegeom._internal.arrays import BoolArray, ByteArray
from facegeom.errors import FacegeomError
from facegeom.networks.devices import check_device
from facegeom.networks.facevision import channels_last, load_facevision
from facegeom.networks.gated_inpainting import (
    GatedInpainting,
    GatedInpaintingConfig,
    InpaintingOutput,
    as_bytes,
    as_texture,
    composite,
    initialise,
)
from facegeom.networks.texture_critic import TextureCritic, critic_scores
from facegeom.networks.weights import load_weights, save_weights
from facegeom.training.maps.loop import Learner, Place, as_photo, options_of, place_of, run_training, update_average
from facegeom.training.texture.data import TextureSet, read_textures
from facegeom.training.texture.losses import PerceptualLoss, critic_loss, gradient_penalty, weighted_l1
from facegeom.training.texture.samples import (
    TextureStream,
    draw_known,
    held_out_masks,
    mean_texture,
    rows_of,
    scaled,
)

log = logging.getLogger("facegeom")

STAGES = ("coarse", "both")
ADVERSARIES = ("wgan", "sn-patchgan")
EXAMINED = 100  # validation textures measured after every epoch
SHEET = 8  # of them in its picture
BATCH = 10
MIXTURE_SEED = 1_000_003  # between the penalty's random mixtures of one seed's run and the next's


@dataclass(frozen=True)
class TextureOptions:
    """One training run. Textures are in [-1, 1]."""

    stage: str = "coarse"  # one of `STAGES`: the coarse stage by L1 alone, or both stages together
    adversary: str = "wgan"  # one of `ADVERSARIES`
    size: int = 192
    width: int = 24
    fold: int = 2
    guided: bool = True
    batch: int = 8  # table B.1: 50, of a run with 40 times the images; two hours would be 1,000 steps
    images: int = 60_000  # the rates are halved after half of them (table B.1: after 10 of 20 epochs)
    learning_rate: float = 1e-3  # table B.1: 1e-4, which has learned little by the end of so few steps
    critic_learning_rate: float = 4e-4  # table B.1
    beta1: float = 0.5  # table B.1, as beta2
    beta2: float = 0.999
    gain: float = math.sqrt(8)  # table B.1: 0.02, see `initialise`
    warmup: int = 100  # steps
    l1_weight: float = 100.0  # table B.1
    perceptual_weight: float = 10.0  # table B.1
    gan_weight: float = 10.0  # table B.1; it threw a network of 64,000 images off within 120 steps, 0.2 did not
    penalty_weight: float = 10.0  # of the WGAN's gradient penalty, Gulrajani et al. 2017
    critic_steps: int = 1  # a generator step; Gulrajani et al. take 5, which would leave the generator a quarter
    critic_width: int = 24
    unseen_weight: float = 0.3  # of mirrored or blended texels that no photo showed, in the L1
    known_weight: float = 0.1  # of known texels in the L1: the answer there says how to join it to them
    clip: float = 20.0  # norm of the generator's gradient, 5 to 40: above it single steps undo a hundred others
    average_decay: float = 0.999  # a step, of the weights that are evaluated and shipped
    average_every: int = 4  # steps between updates of the average
    seed: int = 0
    epoch_images: int = 6_000  # validation and a preview sheet after each

    def config(self) -> GatedInpaintingConfig:
        """Return the network's sizes."""
        return GatedInpaintingConfig(
            self.size, self.width, self.fold, self.guided, refinement=self.stage == "both", attention=True
        )


class Trainer(Learner):
    """Network, critic, their optimisers and the averaged weights; everything that a checkpoint holds.

    Parameters
    ----------
    options : TextureOptions
    mean : (S, S, 3) uint8 array, of the training textures
    region : (S, S) bool array, that they cover
    device : torch.device
    """

    options: TextureOptions

    def __init__(self, options: TextureOptions, mean: ByteArray, region: BoolArray, device: torch.device) -> None:
        check.choice(options.stage, "stage", STAGES)
        check.choice(options.adversary, "adversary", ADVERSARIES)
        super().__init__(options, device)
        self.network = GatedInpainting(options.config())
        initialise(self.network, options.gain)
        self.network.mean.copy_(as_texture(mean[None], torch.device("cpu"))[0])
        self.network.region.copy_(torch.from_numpy(region))
        self.network = channels_last(self.network.to(device))
        self.averaged = channels_last(GatedInpainting(options.config()).to(device)).eval()
        self.averaged.load_state_dict(self.network.state_dict())
        betas = (options.beta1, options.beta2)
        self.optimizer = torch.optim.Adam(self.network.parameters(), options.learning_rate, betas=betas)
        self.parts: tuple[str, ...] = ("network", "averaged", "optimizer")
        if options.stage == "both":
            self.critic = TextureCritic(options.critic_width, spectral=options.adversary == "sn-patchgan").to(device)
            self.critic_optimizer = torch.optim.Adam(
                self.critic.parameters(), options.critic_learning_rate, betas=betas
            )
            self.perceptual = PerceptualLoss(load_facevision().generator).to(device)
            self.parts += ("critic", "critic_optimizer")

    def start_from(self, path: Path) -> None:
        """Begin with the weights of a file, of both stages or of the coarse one.

        Raises
        ------
        WeightsError, FacegeomError
            When the file cannot be read, or is of another network than this.
        """
        config, weights = load_weights("gated_inpainting", GatedInpaintingConfig, path)
        own = self.network.config
        if (config.size, config.width, config.fold, config.guided) != (own.size, own.width, own.fold, own.guided):
            raise FacegeomError(f"{path.name} holds a network of {config}, not of {own}")
        state = self.network.state_dict()
        state.update({name: value for name, value in weights.items() if name in state})
        self.network.load_state_dict(state)
        self.averaged.load_state_dict(state)

    def save_weights(self, folder: Path) -> None:
        """Write the averaged weights."""
        save_weights(folder / "gated_inpainting.safetensors", self.averaged.config, self.averaged.state_dict())

    def train_step(self, texture: Tensor, known: Tensor, weight: Tensor) -> dict[str, float]:
        """Take one step on what `TextureStream` draws, stacked to b; returns the loss terms."""
        o = self.options
        self._set_learning_rates()
        truth, known, weight = as_photo(texture, self.device), known.to(self.device).float(), weight.to(self.device)
        self.network.train()
        with torch.autocast(self.device.type, torch.bfloat16):
            answer = self.network(truth, known)
        counted = weight * (1 - known * (1 - o.known_weight))
        terms = {"coarse_l1": o.l1_weight * weighted_l1(answer.coarse, truth, counted)}
        kept = 1 - (1 - known) * (weight > 0)  # known, or beyond the region, where nothing is meant
        fake = None
        if answer.refined is not None:
            fake = torch.where(kept > 0, truth, answer.refined)
            terms["refined_l1"] = o.l1_weight * weighted_l1(answer.refined, truth, counted)
            with torch.autocast(self.device.type, torch.bfloat16):
                terms["perceptual"] = o.perceptual_weight * self.perceptual(fake, truth)
                self.critic.requires_grad_(False)
                terms["gan"] = -o.gan_weight * critic_scores(self.critic, fake, kept).mean()
                self.critic.requires_grad_(True)
        self.optimizer.zero_grad(set_to_none=True)
        torch.stack(list(terms.values())).sum().backward()
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), o.clip)
        self.optimizer.step()
        scores = {} if fake is None else self._judge(truth, fake.detach(), kept)
        if self.step % o.average_every == 0:
            update_average(self.averaged, self.network, self.step, o.average_decay, o.average_every)
        self.step += 1
        return {name: float(term.detach()) for name, term in terms.items()} | scores | {"gradient_norm": float(norm)}

    def _judge(self, real: Tensor, fake: Tensor, kept: Tensor) -> dict[str, float]:
        """Train the critic; returns its loss, and the penalty where there is one."""
        o = self.options
        rng = torch.Generator().manual_seed(o.seed * MIXTURE_SEED + self.step)
        terms: dict[str, Tensor] = {}
        for _ in range(o.critic_steps):
            with torch.autocast(self.device.type, torch.bfloat16):
                terms = {"critic": critic_loss(self.critic, real, fake, kept, o.adversary)}
            if o.adversary == "wgan":
                share = torch.rand(len(real), 1, 1, 1, generator=rng).to(self.device)
                terms["penalty"] = o.penalty_weight * gradient_penalty(self.critic, real, fake, kept, share)
            self.critic_optimizer.zero_grad(set_to_none=True)
            torch.stack(list(terms.values())).sum().backward()
            self.critic_optimizer.step()
        return {name: float(term.detach()) for name, term in terms.items()}

    def _set_learning_rates(self) -> None:
        o = self.options
        half = 0.5 if self.step * o.batch >= o.images / 2 else 1.0
        factor = min(1.0, (self.step + 1) / max(1, o.warmup)) * half
        rates = [(self.optimizer, o.learning_rate)]
        if o.stage == "both":
            rates.append((self.critic_optimizer, o.critic_learning_rate))
        for optimizer, rate in rates:
            for group in optimizer.param_groups:
                group["lr"] = rate * factor


class Examination:
    """Fixed validation textures and masks: the stages' L1 after each epoch, and a picture."""

    def __init__(self, trainer: Trainer, textures: TextureSet) -> None:
        rows = rows_of(textures, "validation")[:EXAMINED]
        masks = held_out_masks(textures)
        self.trainer = trainer
        self.truth = textures.textures[rows]
        self.known = np.stack(
            [draw_known(np.random.default_rng([7, i]), masks, textures.region) for i in range(len(rows))]
        )
        self.counted = textures.seen[rows] & textures.region & ~self.known

    @torch.no_grad()
    def _answers(self, count: int) -> InpaintingOutput:
        trainer = self.trainer
        coarse, refined = [], []
        for start in range(0, count, BATCH):
            part = slice(start, min(start + BATCH, count))
            known = torch.from_numpy(self.known[part])[:, None].to(trainer.device)
            with torch.autocast(trainer.device.type, torch.bfloat16):
                answer = trainer.averaged(as_texture(self.truth[part], trainer.device), known)
            coarse.append(answer.coarse.cpu())
            refined.append(answer.refined.cpu() if answer.refined is not None else None)
        whole = None if refined[0] is None else torch.cat([part for part in refined if part is not None])
        return InpaintingOutput(torch.cat(coarse), whole)

    def measure(self) -> dict[str, float]:
        """Return the L1 of each stage over masked, really seen texels, percent of range, of all texels together."""
        answers = self._answers(len(self.truth))
        result = {}
        for name, answer in zip(("coarse", "refined"), answers, strict=True):
            if answer is not None:
                error = np.abs(as_bytes(answer).astype(np.float32) - self.truth).mean(-1) / 2.55
                result[f"{name}_percent"] = round(float(error[self.counted].mean()), 4)
        return result

    def sheet(self) -> np.ndarray:
        """Return a row of truths, one of what is known, and one of each stage's answer."""
        count = min(SHEET, len(self.truth))
        truth, known = self.truth[:count], self.known[:count]
        lines = [truth, np.where(known[..., None], truth, 0).astype(np.uint8)]
        texture, mask = as_texture(truth, torch.device("cpu")), torch.from_numpy(known)[:, None]
        lines += [as_bytes(composite(texture, mask, a)) for a in self._answers(count) if a is not None]
        return np.concatenate([np.concatenate(list(line), 1) for line in lines])


def train(
    options: TextureOptions, textures: TextureSet, place: Place, *, initial: Path | None = None
) -> dict[str, float]:
    """Train until `options.images` are seen or the minutes are over; resume if a checkpoint is there.

    Writes to `place.out` what `run_training` does, the averaged weights as gated_inpainting.safetensors. Returns the
    last validation.

    Raises
    ------
    FacegeomError
        When the textures hold none of the training or of the validation identities.
    """
    place.out.mkdir(parents=True, exist_ok=True)
    textures = scaled(textures, options.size)
    trainer = Trainer(options, mean_texture(textures), textures.region, check_device(place.device))
    if not trainer.resume(place.out) and initial is not None:
        trainer.start_from(initial)

    def stream(start: int, end: int) -> TextureStream:
        return TextureStream(textures, options.unseen_weight, options.seed, start, end)

    return run_training(trainer, options, stream, Examination(trainer, textures), place)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare `facegeom train texture`."""
    defaults = TextureOptions()
    parser.add_argument("textures", metavar="FILE", help="file of `facegeom prepare textures`")
    parser.add_argument("--out", "-o", default="runs/texture", help="folder of the run (default: %(default)s)")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--minutes", type=float, default=110)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--initial", type=Path, help="weight file to start from, of both stages or of the coarse one")
    parser.add_argument("--stage", choices=STAGES, default=defaults.stage, help="default: %(default)s")
    parser.add_argument("--adversary", choices=ADVERSARIES, default=defaults.adversary, help="default: %(default)s")
    helps: dict[str, Any] = {"width": "channels of the first layer; the paper: 64", "fold": "1: as in the paper"}
    for name in ("size", "width", "fold", "batch", "images", "seed"):
        parser.add_argument(f"--{name}", type=int, default=getattr(defaults, name), help=helps.get(name))
    parser.add_argument("--no-guide", dest="guided", action="store_false", help="the paper's input: texture and mask")
    for name in ("learning_rate", "l1_weight", "perceptual_weight", "gan_weight", "gain"):
        parser.add_argument(f"--{name.replace('_', '-')}", type=float, default=getattr(defaults, name))


def run(args: argparse.Namespace) -> int:
    """Train and print the last validation as JSON."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    options = options_of(args, TextureOptions)
    measured = train(options, read_textures(args.textures), place_of(args), initial=args.initial)
    print(json.dumps(measured))
    return 0
