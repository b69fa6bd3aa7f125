"""`facegeom prepare identity-average`: the mean of the weights of two identity networks.

A training that starts from the weights of another one ends near them. The mean of both sets of weights is a network
that is nearly as good as the better of the two in each respect, and often better (Wortsman et al. 2022, "Robust
fine-tuning of zero-shot models").
"""

from __future__ import annotations

import argparse
from pathlib import Path

from facegeom.errors import FacegeomError
from facegeom.networks.identity import IdentityConfig
from facegeom.networks.weights import load_weights, save_weights


def average_weights(first: Path, second: Path, out: Path) -> None:
    """Write the mean of the weights and statistics of two identity networks.

    Parameters
    ----------
    first, second : weight files
    out : weight file to write

    Raises
    ------
    WeightsError
        If a file is missing or damaged.
    FacegeomError
        If the networks have different sizes.
    """
    (config, one), (other_config, other) = (load_weights("identity", IdentityConfig, path) for path in (first, second))
    if config != other_config:
        raise FacegeomError(f"the networks in {first} and {second} have different sizes")
    mean = {name: 0.5 * (a + other[name]) if a.is_floating_point() else a for name, a in one.items()}
    save_weights(out, config, mean)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `facegeom prepare identity-average` to a parser."""
    parser.add_argument("first", type=Path, help="weight file of an identity network")
    parser.add_argument("second", type=Path, help="weight file of a network whose training started from the first")
    parser.add_argument("--out", "-o", type=Path, default=Path("runs/identity.safetensors"), help="file to write")


def output_files(args: argparse.Namespace) -> list[Path]:
    """Return the weight file."""
    return [args.out]


def run(args: argparse.Namespace) -> int:
    """Write the mean of the weights; return the exit code."""
    args.out.parent.mkdir(parents=True, exist_ok=True)
    average_weights(args.first, args.second, args.out)
    return 0
