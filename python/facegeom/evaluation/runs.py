"""`facegeom evaluate runs`: comparison of training runs of mesh networks by their losses and validation errors."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from facegeom._internal import check
from facegeom._internal.arrays import FloatArray
from facegeom._internal.files import write_atomically
from facegeom.errors import FacegeomError
from facegeom.measures.report import show, table, write_json

LOSS = ("chamfer", "normal", "laplacian", "movement", "edges")
"""Names of the compared loss terms: they occur in all mesh networks and ablations during the whole training."""

FIGURES = {
    "images": "images",
    "chamfer_mm": "CD mm",
    "f_percent": "F 2 mm %",
    "near_chamfer_mm": "CD near mm",
    "near_f_percent": "F near %",
    "emd_mm": "EMD mm",
    "loss": "loss",
    "loss_deviation": "loss std",
    "best_smoothed_loss": "best smoothed",
    "reached_after": "reached after",
}
"""Key of a figure of a run -> column heading in the printed table."""


@dataclass(frozen=True)
class TrainingRun:
    """The content of the log file `steps.jsonl` of a training run.

    Attributes
    ----------
    name : name of the folder of the run
    images : (n,) float array, number of training images used until the end of each step
    loss : (n,) float array, sum of the terms of `LOSS` in each step
    validation : number of training images -> validation errors on the unchanged validation photos
    """

    name: str
    images: FloatArray
    loss: FloatArray
    validation: dict[int, dict[str, float]]

    def smoothed(self, window: int) -> FloatArray:
        """Return the moving average of the loss over `window` steps, (n - window + 1,); empty if the run is shorter."""
        if len(self.loss) < window:
            return np.zeros(0)
        sums = np.concatenate([[0.0], np.cumsum(self.loss)])
        return np.asarray((sums[window:] - sums[:-window]) / window)

    def reached(self, target: float, window: int) -> float:
        """Return the number of images after which the smoothed loss is first at most `target`; NaN if never."""
        below = np.flatnonzero(self.smoothed(window) <= target)
        return float(self.images[below[0] + window - 1]) if len(below) else float("nan")


def read_run(folder: str | Path) -> TrainingRun:
    """Read the log of a run of `facegeom train pixel2mesh` or `facegeom train gcn_igan`.

    Parameters
    ----------
    folder : folder of the run

    Raises
    ------
    FacegeomError
        If the folder contains no log of such a run, or if the log contains no validation.
    """
    path = Path(folder) / "steps.jsonl"
    if not path.is_file():
        raise FacegeomError(f"{path} does not exist: the folder must be the folder of a training run")
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    steps = {row["step"]: row for row in rows if LOSS[0] in row}  # a resumed run repeats steps: keep the last row
    checks = {row["images"]: row for row in rows if "photo_chamfer_mm" in row}
    if not steps or not checks:
        raise FacegeomError(f"{path} contains no training of a mesh network with a validation")
    batch = next(row["images"] / row["step"] for row in checks.values())
    return TrainingRun(
        Path(folder).name,
        np.array(sorted(steps)) * batch,
        np.array([sum(steps[step].get(term, 0.0) for term in LOSS) for step in sorted(steps)]),
        {
            images: {name.removeprefix("photo_"): row[name] for name in row if name.startswith("photo_")}
            for images, row in sorted(checks.items())
        },
    )


def summarise(runs: Sequence[TrainingRun], window: int) -> list[dict[str, Any]]:
    """Return the figures of each run.

    Parameters
    ----------
    runs : list of TrainingRun; the first one is the reference
    window : number of steps over which the loss is averaged

    Returns
    -------
    list of dict
        One dict per run: the figures of the last validation; "loss" and "loss_deviation", mean and standard deviation
        of the loss over the last third of the steps; "best_smoothed_loss", the smallest moving average;
        "reached_after", the number of images after which the moving average was as low as the smallest moving average
        of the first run.
    """
    rows = []
    target = min(runs[0].smoothed(window), default=float("nan"))
    for run in runs:
        images, figures = list(run.validation.items())[-1]
        last = run.loss[-max(1, len(run.loss) // 3) :]
        rows.append(
            {
                "run": run.name,
                "images": images,
                **figures,
                "loss": float(last.mean()),
                "loss_deviation": float(last.std()),
                "best_smoothed_loss": float(min(run.smoothed(window), default=float("nan"))),
                "reached_after": run.reached(target, window),
            }
        )
    return rows


def plot(runs: Sequence[TrainingRun], window: int, path: str | Path) -> None:
    """Plot smoothed loss and validation chamfer distance against the number of training images, to a PNG file.

    Parameters
    ----------
    runs : list of TrainingRun
    window : number of steps over which the loss is averaged
    path : path of the PNG file
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 5), layout="constrained")
    losses, distances = figure.subplots(1, 2)
    for run in runs:
        losses.plot(run.images[window - 1 :], run.smoothed(window), label=run.name)
        distances.plot(list(run.validation), [row["chamfer_mm"] for row in run.validation.values()], marker="o")
    losses.set(xlabel="images", ylabel=f"loss, mean of {window} steps", yscale="log")
    distances.set(xlabel="images", ylabel="chamfer distance on validation photos, mm")
    losses.legend(fontsize="small")
    write_atomically(path, lambda temporary: figure.savefig(temporary, dpi=110, format="png"))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `facegeom evaluate runs`."""
    parser.add_argument(
        "runs", metavar="RUN", nargs="+", help="folder of a training run; the first run is the reference"
    )
    parser.add_argument(
        "--window",
        type=int,
        default=100,
        help="number of steps in the moving average of the loss (default: %(default)s)",
    )
    parser.add_argument("--json", metavar="FILE", help="write the results to this JSON file as well")
    parser.add_argument("--out", metavar="FILE", help="plot the curves to this PNG file")


def run(args: argparse.Namespace) -> int:
    """Compare training runs, print the table and write the requested files; return the exit code."""
    window = check.count(args.window, "window", 1)
    runs = [read_run(folder) for folder in args.runs]
    rows = summarise(runs, window)
    show(table(["run", *FIGURES.values()], [[row["run"]] + [row[name] for name in FIGURES] for row in rows], digits=4))
    if args.json:
        write_json(args.json, {"benchmark": "runs", "window": window, "rows": rows})
    if args.out:
        plot(runs, window, args.out)
    return 0
