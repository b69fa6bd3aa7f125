"""Command-line arguments that several `facegeom train` commands share."""

from __future__ import annotations

import argparse
import dataclasses
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from facegeom.training.data.assets import add_assets
from facegeom.training.data.labels import add_labelled_photos
from facegeom.training.data.photo_data import Sources
from facegeom.training.loop import CHECKPOINT, RunSettings

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Options = TypeVar("Options", bound="DataclassInstance")


def add_run_settings(parser: argparse.ArgumentParser, out: str, workers: int) -> None:
    """Add an argument for each field of `RunSettings` to a parser; `out` and `workers` are default values."""
    parser.add_argument(
        "--out", "-o", default=out, help="folder of the run, with checkpoint and weights (default: %(default)s)"
    )
    parser.add_argument(
        "--device", default="cpu", help="device of the networks: cpu, cuda, cuda:1 or mps (default: %(default)s)"
    )
    parser.add_argument(
        "--minutes",
        type=float,
        default=110,
        help="time limit in minutes; the same command resumes the run (default: %(default)s)",
    )
    parser.add_argument(
        "--workers",
        type=int,
        default=workers,
        help="number of processes that make training samples (default: %(default)s)",
    )


def add_photo_training(parser: argparse.ArgumentParser, defaults: Any, out: str) -> None:
    """Add the arguments that all trainings on photos share to a parser.

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
    parser.add_argument(
        "--texture-model",
        type=Path,
        help="file written by `facegeom prepare texture-model`; needed for synthetic faces",
    )
    add_assets(parser)
    helps = {
        "size": "side length of the square crops in pixels",
        "batch": "number of samples in one step",
        "images": "number of samples in the whole run",
        "seed": "seed of all random numbers",
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


def add_initial_weights(parser: argparse.ArgumentParser, help: str = "weight file that initialises a new run") -> None:
    """Add the argument `--initial` to a parser."""
    parser.add_argument("--initial", type=Path, help=help)


def add_no_synthetic(parser: argparse._ActionsContainer) -> None:
    """Add the argument `--no-synthetic` to a parser."""
    parser.add_argument(
        "--no-synthetic", dest="synthetic", action="store_false", help="train without rendered synthetic faces"
    )


def add_reshaped(parser: argparse.ArgumentParser) -> None:
    """Add the arguments `--reshaped` and `--diffused` to a parser."""
    parser.add_argument(
        "--reshaped",
        type=Path,
        metavar="FOLDER",
        help="folder written by `facegeom prepare reshaped`: train on these photos, too (default: no reshaped photos)",
    )
    parser.add_argument(
        "--diffused",
        type=Path,
        metavar="FOLDER",
        help="folder written by `facegeom prepare diffused`: train on these photos, too (default: no diffused photos)",
    )


def options_from(args: argparse.Namespace, kind: type[Options], **others: Any) -> Options:
    """Return options of type `kind`: field values from the arguments of the same name, and from `others`."""
    named = {field.name: getattr(args, field.name) for field in dataclasses.fields(kind) if hasattr(args, field.name)}
    return kind(**(named | others))


def run_settings_from(args: argparse.Namespace) -> RunSettings:
    """Return the `RunSettings` from the arguments of `add_run_settings`."""
    return RunSettings(Path(args.out), args.device, args.minutes, args.workers)


def run_files(args: argparse.Namespace, weights: str) -> list[Path]:
    """Return the files of a run that `run_training` writes to the folder `--out`, without the pictures.

    Parameters
    ----------
    args : Namespace with the arguments of `add_run_settings`
    weights : name of the network, which is also the name of its weight file
    """
    return [Path(args.out) / name for name in (CHECKPOINT, f"{weights}.safetensors", "steps.jsonl")]


def sources_from(args: argparse.Namespace) -> Sources:
    """Return the `Sources`, the input files, from the arguments of `add_photo_training` and `add_reshaped`."""
    return Sources(
        Path(args.photos),
        Path(args.labels),
        texture_model=args.texture_model,
        assets=args.assets,
        reshaped=getattr(args, "reshaped", None),
        diffused=getattr(args, "diffused", None),
    )


def run_and_print(train: Callable[..., dict[str, float]], options: Any, data: Any, args: argparse.Namespace) -> int:
    """Call `train(options, data, settings, initial=...)` and print the values of its last validation as JSON.

    Parameters
    ----------
    train : callable
        Training function; returns the values of the last validation by name.
    options : dataclass
        Options of the training.
    data : Sources or TextureSet
    args : Namespace
        Parsed arguments, with those of `add_run_settings` and `add_initial_weights`.

    Returns
    -------
    int
        Exit code 0.
    """
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    print(json.dumps(train(options, data, run_settings_from(args), initial=args.initial)))
    return 0
