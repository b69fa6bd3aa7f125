"""Command-line arguments that several `facegeom train` commands share."""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from facegeom.training.data.labels import add_labelled_photos
from facegeom.training.data.photo_data import Sources
from facegeom.training.loop import RunSettings

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Options = TypeVar("Options", bound="DataclassInstance")


def add_run_settings(parser: argparse.ArgumentParser, out: str, workers: int) -> None:
    """Add arguments for the fields of `RunSettings` to a parser; `out` and `workers` are default values."""
    parser.add_argument("--out", "-o", default=out, help="folder of the run (default: %(default)s)")
    parser.add_argument("--device", default="cpu", help="device: cpu, cuda, cuda:1 or mps (default: %(default)s)")
    parser.add_argument(
        "--minutes", type=float, default=110, help="time limit; call again to resume (default: %(default)s)"
    )
    parser.add_argument(
        "--workers", type=int, default=workers, help="processes that make samples (default: %(default)s)"
    )


def add_photo_training(parser: argparse.ArgumentParser, defaults: Any, out: str) -> None:
    """Add the arguments that all trainings on photos have to a parser.

    Parameters
    ----------
    parser : ArgumentParser
    defaults : dataclass
        Options of the training with their default values.
    out : str
        Default folder of the run.
    """
    add_labelled_photos(parser)
    add_run_settings(parser, out, workers=2)
    parser.add_argument("--texture-model", type=Path, help="file of `facegeom prepare texture-model`")
    helps = {
        "size": "side of the crops in pixels",
        "batch": "samples in one step",
        "images": "samples in the whole run",
        "seed": "random seed",
    }
    for name, text in helps.items():
        default = getattr(defaults, name)
        parser.add_argument(f"--{name}", type=int, default=default, help=f"{text} (default: %(default)s)")
    parser.add_argument(
        "--learning-rate",
        type=float,
        default=defaults.learning_rate,
        help="largest learning rate (default: %(default)s)",
    )


def add_initial_weights(parser: argparse.ArgumentParser, help: str = "weight file to start from") -> None:
    """Add the argument `--initial` to a parser."""
    parser.add_argument("--initial", type=Path, help=help)


def add_no_synthetic(parser: argparse._ActionsContainer) -> None:
    """Add the argument `--no-synthetic` to a parser."""
    parser.add_argument(
        "--no-synthetic", dest="synthetic", action="store_false", help="train without rendered synthetic faces"
    )


def options_from(args: argparse.Namespace, kind: type[Options], **others: Any) -> Options:
    """Return the options of a training: the arguments with the names of its fields, and `others`."""
    named = {field.name: getattr(args, field.name) for field in dataclasses.fields(kind) if hasattr(args, field.name)}
    return kind(**(named | others))


def run_settings_from(args: argparse.Namespace) -> RunSettings:
    """Return the settings that the arguments of `add_run_settings` give."""
    return RunSettings(Path(args.out), args.device, args.minutes, args.workers)


def sources_from(args: argparse.Namespace) -> Sources:
    """Return the input files that the arguments of `add_photo_training` give."""
    return Sources(Path(args.photos), Path(args.labels), args.texture_model)


def run_and_print(train: Callable[..., dict[str, float]], options: Any, data: Any, args: argparse.Namespace) -> int:
    """Call `train(options, data, settings, initial=...)` and print the values of its last validation as JSON.

    Parameters
    ----------
    train : callable
    options : dataclass
    data : Sources or TextureSet
    args : Namespace
        With the arguments of `add_run_settings` and `add_initial_weights`.

    Returns
    -------
    int
        Exit status 0.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    print(json.dumps(train(options, data, run_settings_from(args), initial=args.initial)))
    return 0
