"""`facegeom prepare identity-wider`: a wider identity network that computes the same function.

A training of the wider network then starts where that of the narrow one ended (Chen et al. 2016, "Net2Net"). There, new
channels are copies of old ones; here, they have random weights, and the weights that read them are zero.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from facegeom._internal import check
from facegeom.networks.identity import IdentityConfig, IdentityNetwork
from facegeom.networks.weights import load_state, load_weights, save_weights


def widened(narrow: IdentityNetwork, factor: float, seed: int = 0) -> IdentityNetwork:
    """Return a network with more channels and hidden units that computes the same function.

    Parameters
    ----------
    narrow : IdentityNetwork
    factor : the number of channels and of hidden units is multiplied by this factor, 1 to 8
    seed : seed of the weights of the new channels

    Raises
    ------
    ValueError
        If `factor` is not in [1, 8].
    """
    check.in_range(factor, "factor", 1, 8)
    old = narrow.config
    config = replace(
        old, widths=tuple(round(factor * width) for width in old.widths), hidden=round(factor * old.hidden)
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        wide = IdentityNetwork(config)
    known = narrow.state_dict()
    wide.load_state_dict({name: _enlarged(value, known[name]) for name, value in wide.state_dict().items()})
    return wide.train(narrow.training)


def _enlarged(fresh: Tensor, known: Tensor) -> Tensor:
    """Return `fresh` with the values of `known` at the beginning of each axis.

    Axis 0 are the outputs and axis 1 the inputs: known outputs do not depend on new inputs.
    """
    if fresh.shape == known.shape:
        return known.clone()
    result = fresh.clone()
    if known.ndim > 1:
        result[: len(known), known.shape[1] :] = 0
    result[tuple(slice(size) for size in known.shape)] = known
    return result


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `facegeom prepare identity-wider` to a parser."""
    parser.add_argument("weights", type=Path, help="weight file of an identity network")
    parser.add_argument(
        "--factor", type=float, default=2.0, help="factor of the number of channels (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the new weights (default: %(default)s)")
    parser.add_argument("--out", "-o", type=Path, default=Path("runs/identity_wider.safetensors"), help="file to write")


def output_files(args: argparse.Namespace) -> list[Path]:
    """Return the weight file."""
    return [args.out]


def run(args: argparse.Namespace) -> int:
    """Write the wider network; return the exit code."""
    config, state = load_weights("identity", IdentityConfig, args.weights)
    narrow = IdentityNetwork(config)
    load_state(narrow, "identity", state)
    wide = widened(narrow, check.in_range(args.factor, "--factor", 1, 8), args.seed)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    save_weights(args.out, wide.config, wide.state_dict())
    return 0
