"""`facegeom train translate`: train a network that translates renderings of synthetic faces into photo-like images.

Sela, Richardson & Kimmel 2017, section 5. A generator translates renderings into photos. A discriminator compares
translated renderings with training photos (equation 6). A second loss penalises changes of the maps that a frozen
network predicts (equation 7). Renderings and photos are not paired.
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
from facegeom.networks.devices import check_device, mixed_precision
from facegeom.networks.facevision import MapTensors, channels_last
from facegeom.networks.patchgan import PatchDiscriminator
from facegeom.networks.translator import Translator, TranslatorConfig
from facegeom.networks.weights import save_weights
from facegeom.training.arguments import add_photo_training, options_from, run_files, run_settings_from, sources_from
from facegeom.training.data.photo_data import Sources, TrainingData, load_training_data
from facegeom.training.data.random_crops import MixOptions
from facegeom.training.data.samples import FaceSamples, NumberedStream, image_tensor
from facegeom.training.loop import (
    NetworkTrainer,
    RunSettings,
    network_input,
    run_training,
    set_learning_rate,
    warmup_cosine_factor,
)
from facegeom.training.maps.losses import adversarial, masked_l1
from facegeom.training.maps.translation_metrics import (
    CLASSIFIED,
    ClassifierOptions,
    classifier_accuracy,
    draw_photos,
    draw_renders,
    geometry_change,
    grey_background,
    translate_all,
    translation_sheet,
)
from facegeom.training.maps.validation import Predict

log = logging.getLogger("facegeom")

UPRIGHT = MixOptions(max_yaw_deg=40.0, crop_factor=(0.95, 1.2), loose_crops=0.0, shift=0.03, roll_deg=5.0, any_roll=0.0)
"""Distribution of moderate poses in crops inside the photo: with other crops, the discriminator would detect the black
area outside the photo. The translator is also applied to poses outside this distribution, such as profiles."""

EXAMINED = 60  # number of validation renderings
SHEET = 10  # number of validation renderings in the preview picture


@dataclass(frozen=True)
class TranslateOptions:
    """Options of one training run."""

    network: str = ""  # weight file of the frozen network (facevision, pix2vertex); "": facevision of the package
    size: int = 128  # side length of the square crops, pixels; must equal the input size of the frozen network
    batch: int = 16
    images: int = 60_000  # number of samples in the run; the learning rate reaches its minimum at the end
    learning_rate: float = 2e-4  # largest learning rate of generator and discriminator, from Isola et al. 2017
    warmup: int = 100  # number of steps of the linear warm-up of the learning rate
    geometry_weight: float = 100.0  # weight lambda of equation 7, maps in units of 100 mm; the paper gives no value
    discriminator_width: int = 32  # number of channels of the first layer
    average_decay: float = 0.999  # decay per step of the averaged weights; these are evaluated and saved
    average_every: int = 4  # number of steps between updates of the averaged weights
    seed: int = 0
    epoch_images: int = 6_000  # number of samples between two validations
    mix: MixOptions = UPRIGHT
    translator: TranslatorConfig = field(default_factory=TranslatorConfig)


class PairStream(NumberedStream):
    """Stream of training samples: a rendering and an unrelated photo, both (3, S, S) uint8.

    Parameters
    ----------
    samples : FaceSamples
        Samples of photos, with a source of synthetic faces.
    size : int
        Side length S of the square images in pixels.
    seed, start, end : int
        See `NumberedStream`.
    """

    def __init__(self, samples: FaceSamples, size: int, seed: int, start: int, end: int) -> None:
        super().__init__(seed, start, end)
        self.samples, self.size = samples, size

    def draw(self, rng: np.random.Generator) -> tuple[Tensor, ...]:
        """Draw a rendering and an unrelated photo."""
        drawn = self.samples.render(rng, self.size), self.samples.photo(rng, self.size)
        return tuple(image_tensor(sample.image) for sample in drawn)


class TranslatorTrainer(NetworkTrainer):
    """Trainer of the generator (the translator) and of the discriminator.

    Parameters
    ----------
    options : TranslateOptions
    predict : Predict
        The frozen network: images -> predicted maps.
    device : torch.device
    """

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
        """Write the averaged weights of the generator to the folder of a run."""
        save_weights(folder / "translator.safetensors", self.averaged.config, self.averaged.state_dict())

    def train_step(self, render: Tensor, photo: Tensor) -> dict[str, float]:
        """Make one training step of the generator and of the discriminator.

        Parameters
        ----------
        render, photo : (b, 3, S, S) uint8 tensors

        Returns
        -------
        dict of str to float
            Loss terms, discriminator scores and the gradient norm.
        """
        o = self.options
        for optimizer in (self.generator_optimizer, self.discriminator_optimizer):
            set_learning_rate(optimizer, o.learning_rate * warmup_cosine_factor(self.step, o, o.warmup))
        image, real = network_input(render, self.device), network_input(photo, self.device)
        with mixed_precision(self.device):
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
        scores = self._train_discriminator(real, fake.detach())
        self.end_step(self.averaged, self.generator)
        return {name: float(term.detach()) for name, term in terms.items()} | scores | {"gradient_norm": float(norm)}

    def _train_discriminator(self, real: Tensor, fake: Tensor) -> dict[str, float]:
        """Make one step of the discriminator; return its loss and the shares of correctly classified patches."""
        with mixed_precision(self.device):
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
    """Return the L1 change of the predicted maps by the translation (Sela et al. 2017, equation 7).

    Parameters
    ----------
    before, after : MapTensors
        Predicted maps of the renderings and of the translated renderings.

    Returns
    -------
    () tensor

    Notes
    -----
    Maps have no meaning outside the face, so the change is weighted by the mask probability before the translation.
    The change of the mask probability is averaged over all pixels.
    """
    moved = masked_l1(after.coordinates(), before.coordinates(), before.probability[:, None])
    return moved + (after.probability - before.probability).abs().mean()


class TranslationValidation:
    """Validation of a translator on fixed renderings that are not used in training.

    Parameters
    ----------
    trainer : TranslatorTrainer
    samples : FaceSamples
        Samples of photos, with a source of synthetic faces.
    """

    def __init__(self, trainer: TranslatorTrainer, samples: FaceSamples) -> None:
        self.trainer = trainer
        self.renders = draw_renders(samples, trainer.options.size, trainer.options.seed, EXAMINED)

    def measure(self) -> dict[str, float]:
        """Return the change of the predicted maps, see `geometry_change`."""
        trainer = self.trainer
        change = geometry_change(trainer.averaged, trainer.predict, self.renders, trainer.device)
        return {name: round(value, 4) for name, value in change.items()}

    def sheet(self) -> np.ndarray:
        """Return a picture of the first renderings: image, maps, translated image, maps of the translated image."""
        trainer = self.trainer
        return translation_sheet(trainer.averaged, trainer.predict, self.renders[:SHEET], trainer.device)


def train(
    options: TranslateOptions,
    sources: Sources,
    settings: RunSettings,
    *,
    measured: int = 500,
    classifier: ClassifierOptions | None = None,
) -> dict[str, float]:
    """Train a translator, or resume from the checkpoint in `settings.out`, then measure it.

    Parameters
    ----------
    options : TranslateOptions
    sources : Sources
    settings : RunSettings
    measured : int
        Number of renderings that are measured after the training.
    classifier : ClassifierOptions, optional
        Options of the classifiers that measure the translation.

    Returns
    -------
    dict of str to float
        The values of `report`.

    Raises
    ------
    ValueError
        If `options.size` is not the input size of the frozen network.

    Notes
    -----
    Writes the files of `run_training`, with the weights in translator.safetensors, and report.json and sheet.png.
    """
    measured = check.count(measured, "--measure", 1)
    settings.out.mkdir(parents=True, exist_ok=True)
    network = load_network(options.network or None, settings.device)
    if network.size != options.size:
        raise ValueError(f"size must be {network.size}, the size of the frozen network, got {options.size}")
    data = load_training_data(sources, options.mix)
    trainer = TranslatorTrainer(options, network.maps, check_device(settings.device))
    trainer.resume(settings.out)

    def stream(start: int, end: int) -> PairStream:
        return PairStream(data.training, options.size, options.seed, start, end)

    run_training(trainer, options, stream, TranslationValidation(trainer, data.training), settings)
    return report(trainer, data, settings.out, measured, classifier or ClassifierOptions())


def report(
    trainer: TranslatorTrainer, data: TrainingData, out: Path, count: int, classifier: ClassifierOptions
) -> dict[str, float]:
    """Measure a translator on renderings not used in training, and write report.json and sheet.png.

    Parameters
    ----------
    trainer : TranslatorTrainer
    data : TrainingData
    out : Path
        Folder for the written files.
    count : int
        Number of renderings and of validation photos.
    classifier : ClassifierOptions

    Returns
    -------
    dict of str to float
        The change of the predicted maps, see `geometry_change`, and the accuracy of classifiers that distinguish photos
        from renderings before and after the translation, on whole crops and on faces with a grey background.

    Notes
    -----
    The classifiers are trained on training photos and tested on validation photos. The grey background is used because
    the background of renderings differs from the background of photos even after the translation.
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
        ("after", [translate_all(trainer.averaged, part, device) for part in drawn]),
    ):
        pairs = list(zip(photos, shown, strict=True))
        figures[f"classifier_{name}"] = classifier_accuracy(pairs[0], pairs[1], device, classifier)
        faces = [
            (
                grey_background(real, real, trainer.predict, device),
                grey_background(other, look, trainer.predict, device),
            )
            for (real, other), look in zip(pairs, drawn, strict=True)
        ]
        figures[f"face_classifier_{name}"] = classifier_accuracy(faces[0], faces[1], device, classifier)
    figures = {name: round(value, 4) for name, value in figures.items()}
    write_json(out / "report.json", figures)
    save_image(translation_sheet(trainer.averaged, trainer.predict, renders[:SHEET], device), out / "sheet.png")
    log.info("%d test renderings: %s", count, figures)
    return figures


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `facegeom train translate` to a parser."""
    defaults = TranslateOptions()
    add_photo_training(parser, defaults, "runs/translate")
    parser.add_argument(
        "--network",
        default="",
        help="weight file of the frozen network (default: the facevision network of the package)",
    )
    parser.add_argument(
        "--geometry-weight",
        type=float,
        default=defaults.geometry_weight,
        help="weight of the change of the predicted maps, equation 7 (default: %(default)s)",
    )
    parser.add_argument(
        "--no-geometry", dest="geometry", action="store_false", help="train without the loss of equation 7"
    )
    parser.add_argument(
        "--max-yaw",
        type=float,
        default=defaults.mix.max_yaw_deg,
        help="largest absolute yaw of the renderings in degrees (default: %(default)s)",
    )
    parser.add_argument(
        "--measure",
        type=int,
        default=500,
        help="number of renderings that are measured after the training (default: %(default)s)",
    )
    parser.add_argument(
        "--classify",
        type=int,
        default=ClassifierOptions.samples,
        help="number of photos, and of renderings, on which each classifier is trained (default: %(default)s)",
    )


def output_files(args: argparse.Namespace) -> list[Path]:
    """Return the files that the command writes to the folder of the run."""
    return [*run_files(args, "translator"), Path(args.out) / "sheet.png"]


def run(args: argparse.Namespace) -> int:
    """Train and measure a translator, and print the values of `report` as JSON; return the exit code."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    options = options_from(
        args,
        TranslateOptions,
        geometry_weight=args.geometry_weight if args.geometry else 0.0,
        mix=dataclasses.replace(UPRIGHT, max_yaw_deg=args.max_yaw),
    )
    figures = train(
        options,
        sources_from(args),
        run_settings_from(args),
        measured=args.measure,
        classifier=ClassifierOptions(samples=args.classify),
    )
    print(json.dumps(figures))
    return 0
