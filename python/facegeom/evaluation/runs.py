"""`facegeom evaluate runs`: trainings of mesh networks side by side, their losses and what validation said of them."""

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
"""The terms that count here: those that all mesh networks are trained with to the end, in all their ablations."""

FIGURES = {
    "images": "images",
    "chamfer_mm": "CD mm",
    "f_percent": "F 2 mm %",
    "near_chamfer_mm": "CD near",
    "near_f_percent": "F near",
    "emd_mm": "EMD mm",
    "loss": "loss",
    "loss_deviation": "std",
    "best_smoothed_loss": "best",
    "reached_after": "reached",
}
"""What is said of a run, and its heading."""


@dataclass(frozen=True)
class TrainingRun:
    """What steps.jsonl of a run says.

    Attributes
    ----------
    name : of its folder
    images : (n,) float array, those seen at the end of each step
    loss : (n,) float array, sum of the terms of `LOSS`
    validation : images -> figures, of the photos as they are
    """

    name: str
    images: FloatArray
    loss: FloatArray
    validation: dict[int, dict[str, float]]

    def smoothed(self, window: int) -> FloatArray:
        """Return the means of the loss over the last `window` steps, (n - window + 1,); of a shorter run, nothing."""
        if len(self.loss) < window:
            return np.zeros(0)
        sums = np.concatenate([[0.0], np.cumsum(self.loss)])
        return np.asarray((sums[window:] - sums[:-window]) / window)

    def reached(self, target: float, window: int) -> float:
        """Return the images after which the smoothed loss is first at most `target`; NaN: never."""
        below = np.flatnonzero(self.smoothed(window) <= target)
        return float(self.images[below[0] + window - 1]) if len(below) else float("nan")


def read_run(folder: str | Path) -> TrainingRun:
    """Read a run of `facegeom train pixel2mesh` or `gcn_igan`.

    Raises
    ------
    FacegeomError
        When the folder holds none.
    """
    path = Path(folder) / "steps.jsonl"
    if not path.is_file():
        raise FacegeomError(f"{path} is not there: the folder must be that of a training")
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    steps = {row["step"]: row for row in rows if LOSS[0] in row}  # a resumed run repeats some: the last ones count
    checks = {row["images"]: row for row in rows if "photo_chamfer_mm" in row}
    if not steps or not checks:
        raise FacegeomError(f"{path} holds no validated training of a network that makes meshes")
    each = next(row["images"] / row["step"] for row in checks.values())
    return TrainingRun(
        Path(folder).name,
        np.array(sorted(steps)) * each,
        np.array([sum(steps[step].get(term, 0.0) for term in LOSS) for step in sorted(steps)]),
        {
            images: {name.removeprefix("photo_"): row[name] for name in row if name.startswith("photo_")}
            for images, row in sorted(checks.items())
        },
    )


def summarise(runs: Sequence[TrainingRun], window: int) -> list[dict[str, Any]]:
    """Return a row a run: the last validation, and of the loss the mean and the standard deviation over its last third.

    best_smoothed_loss is the least mean of `window` steps; reached_after the images that the run needed until its
    smoothed loss was as low as the first run's ever was.
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
    """Draw the smoothed loss and the validation's chamfer distance of every run over the images it saw, as PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 5), layout="constrained")
    losses, distances = figure.subplots(1, 2)
    for run in runs:
        losses.plot(run.images[window - 1 :], run.smoothed(window), label=run.name)
        distances.plot(list(run.validation), [row["chamfer_mm"] for row in run.validation.values()], marker="o")
    losses.set(xlabel="images", ylabel=f"loss, mean of {window} steps", yscale="log")
    distances.set(xlabel="images", ylabel="chamfer distance of validation photos, mm")
    losses.legend(fontsize="small")
    write_atomically(path, lambda temporary: figure.savefig(temporary, dpi=110, format="png"))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare `facegeom evaluate runs`."""
    parser.add_argument("runs", metavar="RUN", nargs="+", help="folder of a training; the first is the one to reach")
    parser.add_argument(
        "--window", type=int, default=100, help="steps over which the loss is smoothed (default: %(default)s)"
    )
    parser.add_argument("--json", metavar="FILE", help="write the results to this file too")
    parser.add_argument("--out", metavar="FILE", help="draw the curves to this PNG")


def run(args: argparse.Namespace) -> int:
    """Compare trainings."""
    window = check.count(args.window, "window", 1)
    runs = [read_run(folder) for folder in args.runs]
    rows = summarise(runs, window)
    show(table(["run", *FIGURES.values()], [[row["run"]] + [row[name] for name in FIGURES] for row in rows], digits=4))
    if args.json:
        write_json(args.json, {"benchmark": "runs", "window": window, "rows": rows})
    if args.out:
        plot(runs, window, args.out)
    return 0
