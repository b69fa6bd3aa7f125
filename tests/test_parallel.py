"""Several processes train what one would: batches are shared, gradients averaged, files written once."""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from facegeom.errors import FacegeomError
from facegeom.training import parallel
from facegeom.training.loop import Learner, Place, run_training
from facegeom.training.samples import NumberedStream


@dataclass(frozen=True)
class LineOptions:
    """Of fitting a line."""

    batch: int = 8
    images: int = 80
    epoch_images: int = 40
    seed: int = 3


class LineLearner(Learner):
    """Learns y = 2 x + 1."""

    parts = ("line", "optimizer")

    def __init__(self, options: LineOptions) -> None:
        super().__init__(options, torch.device("cpu"))
        self.line = nn.Linear(1, 1)
        self.optimizer = torch.optim.SGD(self.line.parameters(), 0.1, momentum=0.9)

    def train_step(self, x: Tensor, y: Tensor) -> dict[str, float]:
        error = (self.line(x) - y).square().mean()
        self.optimizer.zero_grad(set_to_none=True)
        self.backward(error, self.line)
        self.optimizer.step()
        self.step += 1
        return {"error": float(error.detach()), "samples": len(x)}

    def save_weights(self, folder: Path) -> None:
        torch.save(self.line.state_dict(), folder / "line.pt")


class Points(NumberedStream):
    """Points on the line."""

    def draw(self, rng: np.random.Generator) -> tuple[Tensor, ...]:
        x = torch.tensor(rng.normal(size=1), dtype=torch.float32)
        return x, 2 * x + 1


class Nothing:
    """An examination that counts."""

    def __init__(self) -> None:
        self.count = 0

    def measure(self) -> dict[str, float]:
        self.count += 1
        return {"count": float(self.count)}

    def sheet(self) -> np.ndarray:
        return np.zeros((4, 4, 3), np.uint8)


def fit_line(options: LineOptions, folder: Path) -> list[float]:
    """The bare loop: returns the parameters, and leaves how many samples each process has seen in `folder`."""
    learner, seen = LineLearner(options), 0
    share = parallel.BatchShare(options.images, options.batch)
    for batch in DataLoader(Points(options.seed, 0, options.images), share.size, sampler=share):
        seen += int(learner.train_step(*batch)["samples"])
    (folder / f"{parallel.rank()}.txt").write_text(str(seen))
    return [float(learner.line.weight.detach()), float(learner.line.bias.detach())]


def run_line(options: LineOptions, place: Place) -> dict[str, float]:
    stream = functools.partial(Points, options.seed)
    return run_training(LineLearner(options), options, stream, Nothing(), place)


def fail(folder: Path) -> None:
    (folder / str(parallel.rank())).touch()
    raise FacegeomError("no")


def run_lines(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "steps.jsonl").read_text().splitlines()]


def test_two_processes_learn_what_one_does(tmp_path: Path) -> None:
    work = functools.partial(fit_line, LineOptions(), tmp_path)
    one = work()
    two = parallel.in_processes(work, 2)
    np.testing.assert_allclose(two, one, rtol=1e-5)
    np.testing.assert_allclose(one, [2, 1], atol=0.8)  # it has learned something
    assert [(tmp_path / f"{number}.txt").read_text() for number in (0, 1)] == ["40", "40"]


def test_the_first_process_writes_the_files(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    work = functools.partial(run_line, LineOptions(), Place(tmp_path, workers=0, processes=2))
    assert parallel.in_processes(work, 2) == {"count": 2.0}
    lines = run_lines(tmp_path)
    assert [line["step"] for line in lines if "error" in line] == list(range(1, 11))
    assert {line["samples"] for line in lines if "error" in line} == {4}


def test_all_processes_end_when_the_first_is_out_of_time(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    work = functools.partial(run_line, LineOptions(), Place(tmp_path, minutes=0.0, workers=0, processes=2))
    assert parallel.in_processes(work, 2) == {"count": 1.0}
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["step"] == 1


def test_an_error_in_all_processes_is_that_of_the_first(tmp_path: Path) -> None:
    with pytest.raises(FacegeomError, match="no"):
        parallel.in_processes(functools.partial(fail, tmp_path), 2)
    assert not torch.distributed.is_initialized()


def test_one_process_takes_whole_batches_in_order() -> None:
    share = parallel.BatchShare(11, 4)
    assert list(share) == list(range(8))
    assert len(share) == 8
    batches = list(DataLoader(Points(0, 0, 11), share.size, sampler=share))
    assert [len(x) for x, _ in batches] == [4, 4]
    assert torch.equal(batches[1][0][0], Points(0, 4, 5)[0][0])


def test_a_batch_must_be_divisible(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "process_count", lambda: 3)
    with pytest.raises(FacegeomError, match="3 processes cannot share a batch of 8 evenly"):
        parallel.BatchShare(80, 8)
    monkeypatch.setattr(parallel, "rank", lambda: 2)
    assert list(parallel.BatchShare(13, 6)) == [4, 5, 10, 11]
