"""`facegeom train texture`: train the coarse stage of the texture completion network, or both stages with a critic.

The hyperparameters are from table B.1 of the thesis on fully textured heads (reference `thesis2022head` of the
documentation), except where two hours of training on a CPU do not suffice; the comments on the fields name each
difference and the reason.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from facegeom._internal import check
from facegeom.errors import FacegeomError
from facegeom.networks.devices import check_device, mixed_precision
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
from facegeom.texture.completion import expected_hair
from facegeom.training.arguments import add_initial_weights, add_run_settings, options_from, run_and_print, run_files
from facegeom.training.loop import NetworkTrainer, RunSettings, network_input, run_training, set_learning_rate
from facegeom.training.texture.losses import PerceptualLoss, critic_loss, gradient_penalty, weighted_l1
from facegeom.training.texture.samples import (
    AREAS,
    TextureStream,
    areas,
    draw_known,
    held_out_masks,
    mean_texture,
    rows_of,
    scaled,
    usual_hair,
)
from facegeom.training.texture.texture_set import TextureSet, read_textures

STAGES = ("coarse", "both")
ADVERSARIES = ("wgan", "sn-patchgan")
EXAMINED = 100  # number of validation textures
SHEET = 8  # number of validation textures in the preview picture
BATCH = 10  # number of textures in one forward pass
MIXTURE_SEED = 1_000_003  # factor of the run seed in the seeds of the mixtures for the gradient penalty


@dataclass(frozen=True)
class TextureTrainingOptions:
    """Options of one training run. Texture values are in [-1, 1].

    "Thesis" in the comments is the thesis on fully textured heads. Table B.1 of the thesis lists its training options.
    """

    stage: str = "coarse"  # trained stages, one of `STAGES`; the coarse stage alone has only the L1 loss
    adversary: str = "wgan"  # kind of critic, one of `ADVERSARIES`
    size: int = 192  # side length of the square textures, texels
    width: int = 24  # number of channels of the first layer; 64 in the thesis
    fold: int = 2  # side of the texel blocks that are network input, texels; 1 in the thesis
    guided: bool = True  # whether the input includes the extrapolated and mirrored known texels; not in the thesis
    classes: bool = True  # whether the input includes the class of each texel; not in the thesis
    batch: int = 8  # number of samples in one step; 50 in table B.1 of the thesis, too slow on a CPU
    images: int = 60_000  # number of samples in the run; learning rates halve after half the run, as in the thesis
    learning_rate: float = 3e-4  # learning rate of the network; 1e-4 in the thesis; with 1e-3 and classes it diverged
    critic_learning_rate: float = 4e-4  # learning rate of the critic, as in table B.1 of the thesis
    beta1: float = 0.5  # first decay rate of both Adam optimisers, as in table B.1 of the thesis
    beta2: float = 0.999  # second decay rate of both Adam optimisers, as in table B.1 of the thesis
    gain: float = math.sqrt(8)  # gain of the initial weights, see `initialise`; 0.02 in table B.1 of the thesis
    warmup: int = 100  # number of steps of the linear warm-up of the learning rates
    l1_weight: float = 100.0  # weight of the L1 loss, as in table B.1 of the thesis
    perceptual_weight: float = 10.0  # weight of the perceptual loss, as in table B.1 of the thesis
    gan_weight: float = 10.0  # weight of the adversarial loss, as in the thesis; one training with this value diverged
    penalty_weight: float = 10.0  # weight of the gradient penalty of the WGAN, Gulrajani et al. 2017
    critic_steps: int = 1  # number of critic steps per network step; Gulrajani et al.: 5, too slow on a CPU
    critic_width: int = 24  # number of channels of the first layer of the critic
    known_weight: float = 0.1  # factor of the L1 weight of known texels, whose prediction is used only at the seam
    clip: float = 20.0  # largest gradient norm of the network; typical norms are 5 to 40
    average_decay: float = 0.999  # decay per step of the averaged weights; these are evaluated and shipped
    average_every: int = 4  # number of steps between updates of the averaged weights
    seed: int = 0
    epoch_images: int = 6_000  # number of samples between two validations

    def config(self) -> GatedInpaintingConfig:
        """Return the configuration of the network."""
        return GatedInpaintingConfig(
            self.size,
            self.width,
            self.fold,
            self.guided,
            refinement=self.stage == "both",
            attention=True,
            classes=self.classes,
        )


class TextureTrainer(NetworkTrainer):
    """Trainer of the completion network, and of the critic if both stages are trained.

    Parameters
    ----------
    options : TextureTrainingOptions
    textures : TextureSet
        Textures of the size of the network; the weights contain their mean, parts and usual hair.
    device : torch.device
    """

    options: TextureTrainingOptions

    def __init__(self, options: TextureTrainingOptions, textures: TextureSet, device: torch.device) -> None:
        check.choice(options.stage, "stage", STAGES)
        check.choice(options.adversary, "adversary", ADVERSARIES)
        super().__init__(options, device)
        self.network = GatedInpainting(options.config())
        initialise(self.network, options.gain)
        self.network.mean.copy_(as_texture(mean_texture(textures)[None], torch.device("cpu"))[0])
        self.network.region.copy_(torch.from_numpy(textures.region))
        if options.classes:
            self.network.part.copy_(torch.from_numpy(textures.part))
            self.network.usual_hair.copy_(torch.from_numpy(usual_hair(textures)))
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
        """Load the weights of a file, of both stages or of the coarse stage only, into the network.

        Parameters
        ----------
        path : Path
            Weight file.

        Raises
        ------
        WeightsError
            If the file cannot be read.
        FacegeomError
            If the file contains a network with another configuration. The size of the textures may be another one.
        """
        config, weights = load_weights("gated_inpainting", GatedInpaintingConfig, path)
        own = self.network.config
        if replace(config, size=own.size, refinement=own.refinement, attention=own.attention) != own:
            raise FacegeomError(f"{path.name} contains a network with {config}, expected {own}")
        state = self.network.state_dict()
        learned = {name for name, _ in self.network.named_parameters()}
        # The other tensors, such as the mean texture, have the size of the textures.
        state.update({name: value for name, value in weights.items() if name in learned})
        self.network.load_state_dict(state)
        self.averaged.load_state_dict(state)

    def save_weights(self, folder: Path) -> None:
        """Write the averaged weights to the folder of a run, as gated_inpainting.safetensors."""
        save_weights(folder / "gated_inpainting.safetensors", self.averaged.config, self.averaged.state_dict())

    def train_step(self, texture: Tensor, known: Tensor, seen: Tensor, hair: Tensor) -> dict[str, float]:
        """Make one training step on the tensors of `TextureStream`, batched: b samples.

        Parameters
        ----------
        texture : (b, 3, S, S) uint8 tensor
        known : (b, 1, S, S) bool tensor
            Texels that are input of the network.
        seen : (b, 1, S, S) bool tensor
            Texels that the texture shows; all known texels are among them.
        hair : (b, 1, S, S) bool tensor
            Texels at which hair is expected from the known texels.

        Returns
        -------
        dict of str to float
            Loss terms of the network and the critic, and the gradient norm.
        """
        o = self.options
        self._set_learning_rates()
        truth = network_input(texture, self.device)
        known, seen, hair = (mask.to(self.device).float() for mask in (known, seen, hair))
        self.network.train()
        with mixed_precision(self.device):
            answer = self.network(truth, known, hair)
        counted = seen * (1 - known * (1 - o.known_weight))
        terms = {"coarse_l1": o.l1_weight * weighted_l1(answer.coarse, truth, counted)}
        kept = 1 - (1 - known) * seen  # known texels, and texels without ground truth
        fake = None
        if answer.refined is not None:
            fake = torch.where(kept > 0, truth, answer.refined)
            terms["refined_l1"] = o.l1_weight * weighted_l1(answer.refined, truth, counted)
            with mixed_precision(self.device):
                terms["perceptual"] = o.perceptual_weight * self.perceptual(fake, truth)
                self.critic.requires_grad_(False)
                terms["gan"] = -o.gan_weight * critic_scores(self.critic, fake, kept).mean()
                self.critic.requires_grad_(True)
        self.optimizer.zero_grad(set_to_none=True)
        torch.stack(list(terms.values())).sum().backward()
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), o.clip)
        self.optimizer.step()
        scores = {} if fake is None else self._train_critic(truth, fake.detach(), kept)
        self.end_step(self.averaged, self.network)
        return {name: float(term.detach()) for name, term in terms.items()} | scores | {"gradient_norm": float(norm)}

    def _train_critic(self, real: Tensor, fake: Tensor, kept: Tensor) -> dict[str, float]:
        """Make `critic_steps` steps of the critic; return the loss terms of the last step: name -> value."""
        o = self.options
        rng = torch.Generator().manual_seed(o.seed * MIXTURE_SEED + self.step)
        terms: dict[str, Tensor] = {}
        for _ in range(o.critic_steps):
            with mixed_precision(self.device):
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
        set_learning_rate(self.optimizer, o.learning_rate * factor)
        if o.stage == "both":
            set_learning_rate(self.critic_optimizer, o.critic_learning_rate * factor)


class TextureValidation:
    """Validation of the network on validation textures with fixed masks.

    Parameters
    ----------
    trainer : TextureTrainer
    textures : TextureSet
    """

    def __init__(self, trainer: TextureTrainer, textures: TextureSet) -> None:
        rows = rows_of(textures, "validation")[:EXAMINED]
        masks = held_out_masks(textures)
        self.trainer = trainer
        self.truth, seen, hair = textures.textures[rows], textures.seen[rows], textures.hair[rows]
        self.known = np.stack([draw_known(np.random.default_rng([7, i]), masks, mask) for i, mask in enumerate(seen)])
        usual = usual_hair(textures)
        self.hair = np.stack([expected_hair(*one, usual) for one in zip(hair, self.known, strict=True)])
        hidden = seen & ~self.known
        self.counted = {"all": hidden} | {
            name: hidden & np.stack([areas(textures.part, *one)[name] for one in zip(seen, hair, strict=True)])
            for name in AREAS
        }

    @torch.no_grad()
    def _answers(self, count: int) -> InpaintingOutput:
        trainer = self.trainer
        coarse, refined = [], []
        for start in range(0, count, BATCH):
            part = slice(start, min(start + BATCH, count))
            known, hair = (torch.from_numpy(m[part])[:, None].to(trainer.device) for m in (self.known, self.hair))
            with mixed_precision(trainer.device):
                answer = trainer.averaged(as_texture(self.truth[part], trainer.device), known, hair)
            coarse.append(answer.coarse.cpu())
            refined.append(answer.refined.cpu() if answer.refined is not None else None)
        whole = None if refined[0] is None else torch.cat([part for part in refined if part is not None])
        return InpaintingOutput(torch.cat(coarse), whole)

    def measure(self) -> dict[str, float]:
        """Return coarse_percent and refined_percent: the mean absolute error of each stage in percent of 255.

        The error is measured on masked texels that the textures show, and averaged over all texels of all textures. It
        is given for each of `AREAS`, too, such as coarse_ears_percent, if there are such texels.
        """
        answers = self._answers(len(self.truth))
        result = {}
        for name, answer in zip(("coarse", "refined"), answers, strict=True):
            if answer is not None:
                error = np.abs(as_bytes(answer).astype(np.float32) - self.truth).mean(-1) / 2.55
                for area, counted in self.counted.items():
                    if counted.any():
                        key = f"{name}_percent" if area == "all" else f"{name}_{area}_percent"
                        result[key] = round(float(error[counted].mean()), 4)
        return result

    def sheet(self) -> np.ndarray:
        """Return a picture with rows of true textures, of their known texels, and of the result of each stage."""
        count = min(SHEET, len(self.truth))
        truth, known = self.truth[:count], self.known[:count]
        lines = [truth, np.where(known[..., None], truth, 0).astype(np.uint8)]
        texture, mask = as_texture(truth, torch.device("cpu")), torch.from_numpy(known)[:, None]
        lines += [as_bytes(composite(texture, mask, a)) for a in self._answers(count) if a is not None]
        return np.concatenate([np.concatenate(list(line), 1) for line in lines])


def train(
    options: TextureTrainingOptions, textures: TextureSet, settings: RunSettings, *, initial: Path | None = None
) -> dict[str, float]:
    """Train texture completion, or resume from the checkpoint in `settings.out`.

    Parameters
    ----------
    options : TextureTrainingOptions
    textures : TextureSet
    settings : RunSettings
    initial : Path, optional
        Weight file with the initial weights of a new run; not used if there is a checkpoint.

    Returns
    -------
    dict of str to float
        Values of the last validation.

    Raises
    ------
    FacegeomError
        If there are no textures of training or of validation identities.

    Notes
    -----
    Writes the files of `run_training`; the weights are in gated_inpainting.safetensors.
    """
    settings.out.mkdir(parents=True, exist_ok=True)
    textures = scaled(textures, options.size)
    trainer = TextureTrainer(options, textures, check_device(settings.device))
    if not trainer.resume(settings.out) and initial is not None:
        trainer.start_from(initial)

    def stream(start: int, end: int) -> TextureStream:
        return TextureStream(textures, options.seed, start, end)

    return run_training(trainer, options, stream, TextureValidation(trainer, textures), settings)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `facegeom train texture` to a parser."""
    defaults = TextureTrainingOptions()
    parser.add_argument("textures", metavar="FILE", help="file written by `facegeom prepare textures`")
    add_run_settings(parser, "runs/texture", workers=1)
    add_initial_weights(
        parser,
        "weight file with the initial weights of a new run, of both stages or of the coarse stage (default: random)",
    )
    parser.add_argument(
        "--stage", choices=STAGES, default=defaults.stage, help="stages to train (default: %(default)s)"
    )
    parser.add_argument(
        "--adversary", choices=ADVERSARIES, default=defaults.adversary, help="kind of critic (default: %(default)s)"
    )
    numbers = {
        "size": "side length of the square textures in texels",
        "width": "number of channels of the first layer; 64 in the thesis",
        "fold": "side of the texel blocks that are network input, in texels; 1 in the thesis",
        "batch": "number of samples in one step",
        "images": "number of samples in the whole run",
        "seed": "seed of all random numbers",
        "learning_rate": "largest learning rate of the network",
        "l1_weight": "weight of the L1 loss",
        "perceptual_weight": "weight of the perceptual loss",
        "gan_weight": "weight of the adversarial loss",
        "gain": "gain of the random initial weights",
    }
    for name, text in numbers.items():
        default = getattr(defaults, name)
        option = f"--{name.replace('_', '-')}"
        parser.add_argument(option, type=type(default), default=default, help=f"{text} (default: %(default)s)")
    parser.add_argument(
        "--no-guide",
        dest="guided",
        action="store_false",
        help="use only the texture and the mask as network input, as in the thesis",
    )


def output_files(args: argparse.Namespace) -> list[Path]:
    """Return the files that the command writes to the folder of the run."""
    return run_files(args, "gated_inpainting")


def run(args: argparse.Namespace) -> int:
    """Train the network and print the values of the last validation as JSON; return the exit code."""
    return run_and_print(train, options_from(args, TextureTrainingOptions), read_textures(args.textures), args)
