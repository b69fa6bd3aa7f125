"""`facegeom train translate`: renders of synthetic faces into photos, a trained network keeping the face in place.

Sela, Richardson, Kimmel 2017, section 5: a generator from renders to photos plays against a discriminator on training
photos (equation 6), and must not change what the frozen network sees (equation 7). Renders and photos are not paired.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from facegeom._internal import check
from facegeom.images.image_files import save_image
from facegeom.measures.predictor import load_network
from facegeom.measures.report import write_json
from facegeom.networks.devices import check_device
from facegeom.networks.facevision import MapTensors, channels_last
from facegeom.networks.patchgan import PatchDiscriminator
from facegeom.networks.translator import Translator, TranslatorConfig
from facegeom.networks.weights import save_weights
from facegeom.training.data.photo_data import Sources, TrainingData, load_training_data
from facegeom.training.data.samples import FaceSamples, MixOptions, NumberedStream, image_tensor
from facegeom.training.maps.loop import (
    Learner,
    Place,
    add_run_arguments,
    as_photo,
    learning_factor,
    options_of,
    place_of,
    run_training,
    sources_of,
    update_average,
)
from facegeom.training.maps.losses import adversarial, masked_l1
from facegeom.training.maps.translation_check import (
    CLASSIFIED,
    ClassifierOptions,
    all_translated,
    classifier_accuracy,
    draw_photos,
    draw_renders,
    faces_alone,
    geometry_change,
    translation_sheet,
)
from facegeom.training.maps.validation import Predict

log = logging.getLogger("facegeom")

UPRIGHT = MixOptions(max_yaw_deg=40.0, crop_factor=(0.95, 1.2), loose_crops=0.0, shift=0.03, roll_deg=5.0, any_roll=0.0)
"""Faces as photos show most of them, in crops that stay within the photo: a discriminator would learn to look for the
black beyond its edge. What the translator has not seen (profiles, lying faces) it changes as it does the rest."""

EXAMINED = 60  # unseen renders measured after every epoch
SHEET = 10  # of them in its picture


@dataclass(frozen=True)
class TranslateOptions:
    """One training run."""

    network: str = ""  # weight file of the frozen network, facevision or pix2vertex; empty: the shipped facevision
    size: int = 128  # that network's
    batch: int = 16
    images: int = 60_000  # the learning rate falls to zero over these
    learning_rate: float = 2e-4  # Isola et al. 2017, for both sides
    warmup: int = 100  # steps
    geometry_weight: float = 100.0  # lambda of equation 7, in 100 mm: L1's in the network's own training; none stated
    discriminator_width: int = 32
    average_decay: float = 0.999  # a step, of the weights that are evaluated and saved
    average_every: int = 4
    seed: int = 0
    epoch_images: int = 6_000
    mix: MixOptions = UPRIGHT
    translator: TranslatorConfig = field(default_factory=TranslatorConfig)


class PairStream(NumberedStream):
    """A render and a photo that have nothing to do with each other, (3, S, S) uint8 each."""

    def __init__(self, samples: FaceSamples, size: int, seed: int, start: int, end: int) -> None:
        super().__init__(seed, start, end)
        self.samples, self.size = samples, size

    def draw(self, rng: np.random.Generator) -> tuple[Tensor, ...]:
        """Draw one of each."""
        drawn = self.samples.render(rng, self.size), self.samples.photo(rng, self.size)
        return tuple(image_tensor(sample.image) for sample in drawn)


class Trainer(Learner):
    """Generator, discriminator, their optimisers and the averaged generator; everything that a checkpoint holds."""

    options: TranslateOptions
    parts = ("generator", "averaged", "discriminator", "generator_optimizer", "discriminator_optimizer")

    def __init__(self, options: TranslateOptions, predict: Predict, device: torch.device) -> None:
        super().__init__(options, device)
        self.predict = predict
        self.generator = channels_last(Translator(options.translator).to(device))
        self.averaged = channels_last(Translator(options.translator).to(device)).eval()
        self.averaged.load_state_dict(self.generator.state_dict())
        self.discriminator = channels_last(PatchDiscriminator(0, options.discriminator_width).to(device))
        self.generator_optimizer, self.discriminator_optimizer = (
            torch.optim.Adam(network.parameters(), options.learning_rate, betas=(0.5, 0.999))
            for network in (self.generator, self.discriminator)
        )

    def save_weights(self, folder: Path) -> None:
        """Write the averaged generator."""
        save_weights(folder / "translator.safetensors", self.averaged.config, self.averaged.state_dict())

    def train_step(self, render: Tensor, photo: Tensor) -> dict[str, float]:
        """One step of both sides on renders and photos, (b, 3, S, S) uint8; returns the loss terms."""
        o = self.options
        for optimizer in (self.generator_optimizer, self.discriminator_optimizer):
            for group in optimizer.param_groups:
                group["lr"] = o.learning_rate * learning_factor(self.step, o, o.warmup)
        image, real = as_photo(render, self.device), as_photo(photo, self.device)
        with torch.autocast(self.device.type, torch.bfloat16):
            fake = self.generator(image).float()
            self.discriminator.requires_grad_(False)
            terms = {"adversarial": adversarial(self.discriminator(fake).float(), True)}
            self.discriminator.requires_grad_(True)
            if o.geometry_weight > 0:
                with torch.no_grad():
                    before = self.predict(image)
                terms["geometry"] = o.geometry_weight * geometric_loss(before, self.predict(fake))
        self.generator_optimizer.zero_grad(set_to_none=True)
        torch.stack(list(terms.values())).sum().backward()
        norm = nn.utils.clip_grad_norm_(self.generator.parameters(), 5.0)
        self.generator_optimizer.step()
        scores = self._judge(real, fake.detach())
        if self.step % o.average_every == 0:
            update_average(self.averaged, self.generator, self.step, o.average_decay, o.average_every)
        self.step += 1
        return {name: float(term.detach()) for name, term in terms.items()} | scores | {"gradient_norm": float(norm)}

    def _judge(self, real: Tensor, fake: Tensor) -> dict[str, float]:
        """Train the discriminator; return its loss and the shares of patches that it gets right."""
        with torch.autocast(self.device.type, torch.bfloat16):
            on_real, on_fake = self.discriminator(torch.cat([real, fake])).float().chunk(2)
        loss = (adversarial(on_real, True) + adversarial(on_fake, False)) / 2
        self.discriminator_optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.discriminator_optimizer.step()
        return {
            "discriminator": float(loss.detach()),
            "real": float((on_real > 0).float().mean()),
            "fake": float((on_fake < 0).float().mean()),
        }


def geometric_loss(before: MapTensors, after: MapTensors) -> Tensor:
    """Return the L1 of the change of what the network sees (Sela et al. 2017, equation 7).

    Maps mean nothing outside the face: their change counts by the probability of the face before the translation.
    That of the probability itself counts everywhere.
    """
    moved = masked_l1(after.coordinates(), before.coordinates(), before.probability[:, None])
    return moved + (after.probability - before.probability).abs().mean()


class Examination:
    """The change of fixed unseen renders after each epoch, and their picture."""

    def __init__(self, trainer: Trainer, samples: FaceSamples) -> None:
        self.trainer = trainer
        self.renders = draw_renders(samples, trainer.options.size, trainer.options.seed, EXAMINED)

    def measure(self) -> dict[str, float]:
        """Return the change of geometry, see `geometry_change`."""
        trainer = self.trainer
        change = geometry_change(trainer.averaged, trainer.predict, self.renders, trainer.device)
        return {name: round(value, 4) for name, value in change.items()}

    def sheet(self) -> np.ndarray:
        """Return input, maps, translated and its maps of the first renders."""
        trainer = self.trainer
        return translation_sheet(trainer.averaged, trainer.predict, self.renders[:SHEET], trainer.device)


def train(
    options: TranslateOptions,
    sources: Sources,
    place: Place,
    *,
    measured: int = 500,
    classifier: ClassifierOptions | None = None,
) -> dict[str, float]:
    """Train until `options.images` are seen or the minutes are over, then measure; resume if a checkpoint is there.

    Writes to `place.out` what `run_training` does, the averaged generator as translator.safetensors, and in the end
    report.json and sheet.png. Returns the report.
    """
    measured = check.count(measured, "--measure", 1)
    place.out.mkdir(parents=True, exist_ok=True)
    network = load_network(options.network or None, place.device)
    if network.size != options.size:
        raise ValueError(f"size must be that of the frozen network, {network.size}, got {options.size}")
    data = load_training_data(sources, options.mix)
    trainer = Trainer(options, network.maps, check_device(place.device))
    trainer.resume(place.out)

    def stream(start: int, end: int) -> PairStream:
        return PairStream(data.training, options.size, options.seed, start, end)

    run_training(trainer, options, stream, Examination(trainer, data.training), place)
    return report(trainer, data, place.out, measured, classifier or ClassifierOptions())


def report(
    trainer: Trainer, data: TrainingData, out: Path, count: int, classifier: ClassifierOptions
) -> dict[str, float]:
    """Measure the translation on unseen renders and write report.json and sheet.png to `out`.

    Beside the change of geometry: the accuracy of classifiers of photos and renders before and after the translation,
    trained afresh on training photos and tested on validation photos and the unseen renders; of whole crops, and of
    faces alone, because what is behind a rendered head is no photo's and stays so.
    """
    size, seed, device = trainer.options.size, trainer.options.seed, trainer.device
    renders = draw_renders(data.training, size, seed, count)
    figures: dict[str, float] = {"images": trainer.step * trainer.options.batch, "renders": count}
    figures |= geometry_change(trainer.averaged, trainer.predict, renders, device)
    photos = (
        draw_photos(data.training, size, seed, classifier.samples, CLASSIFIED),
        draw_photos(data.validation, size, seed, count),
    )
    drawn = draw_renders(data.training, size, seed, classifier.samples, CLASSIFIED), renders
    for name, shown in (
        ("before", drawn),
        ("after", [all_translated(trainer.averaged, part, device) for part in drawn]),
    ):
        pairs = list(zip(photos, shown, strict=True))
        figures[f"classifier_{name}"] = classifier_accuracy(pairs[0], pairs[1], device, classifier)
        faces = [
            (faces_alone(real, real, trainer.predict, device), faces_alone(other, look, trainer.predict, device))
            for (real, other), look in zip(pairs, drawn, strict=True)
        ]
        figures[f"face_classifier_{name}"] = classifier_accuracy(faces[0], faces[1], device, classifier)
    figures = {name: round(value, 4) for name, value in figures.items()}
    write_json(out / "report.json", figures)
    save_image(translation_sheet(trainer.averaged, trainer.predict, renders[:SHEET], device), out / "sheet.png")
    log.info("%d unseen renders: %s", count, figures)
    return figures


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare `facegeom train translate`."""
    defaults = TranslateOptions()
    add_run_arguments(parser, defaults, "runs/translate")
    parser.add_argument("--network", default="", help="weights of the frozen network (default: the shipped facevision)")
    parser.add_argument("--geometry-weight", type=float, default=defaults.geometry_weight, help="of equation 7")
    parser.add_argument("--no-geometry", dest="geometry", action="store_false", help="without equation 7")
    parser.add_argument("--max-yaw", type=float, default=defaults.mix.max_yaw_deg, help="of the renders, degrees")
    parser.add_argument("--measure", type=int, default=500, help="unseen renders measured in the end (%(default)s)")
    parser.add_argument(
        "--classify", type=int, default=ClassifierOptions.samples, help="photos and renders the judge learns from"
    )


def run(args: argparse.Namespace) -> int:
    """Train, measure and print the report as JSON."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    options = options_of(
        args,
        TranslateOptions,
        geometry_weight=args.geometry_weight if args.geometry else 0.0,
        mix=dataclasses.replace(UPRIGHT, max_yaw_deg=args.max_yaw),
    )
    figures = train(
        options,
        sources_of(args),
        place_of(args),
        measured=args.measure,
        classifier=ClassifierOptions(samples=args.classify),
    )
    print(json.dumps(figures))
    return 0
