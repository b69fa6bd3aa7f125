"""Training by several processes on one machine: each takes its share of every batch, and gradients are averaged.

Two processes of one thread each train 1.4 times as fast as one of two threads: a convolution's backward pass leaves
threads waiting. Outside of `in_processes` every function here is that of a single process.
"""

from __future__ import annotations

import multiprocessing
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import torch
from torch import distributed, nn
from torch.utils.data import Sampler

from facegeom.errors import FacegeomError

Result = TypeVar("Result")

JOIN_SECONDS = 60.0  # that the others have to end after the first


def rank() -> int:
    """Return the number of this process; the first, 0, writes the files."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def process_count() -> int:
    """Return how many processes train together."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


class BatchShare(Sampler[int]):
    """The places of this process's samples among `length`, batch by batch; what fills no batch is left out.

    Raises
    ------
    FacegeomError
        When the processes cannot share a batch evenly.
    """

    def __init__(self, length: int, batch: int) -> None:
        if batch % process_count():
            raise FacegeomError(f"{process_count()} processes cannot share a batch of {batch} evenly")
        self.batch, self.batches, self.size = batch, length // batch, batch // process_count()

    def __len__(self) -> int:
        return self.batches * self.size

    def __iter__(self) -> Iterator[int]:
        for first in range(0, self.batches * self.batch, self.batch):
            start = first + rank() * self.size
            yield from range(start, start + self.size)


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replace the gradients by their mean over the processes; to be called after each backward pass."""
    if process_count() == 1:
        return
    gradients = [p.grad for p in parameters if p.grad is not None]
    flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
    distributed.all_reduce(flat)
    flat /= process_count()
    for gradient, mean in zip(gradients, flat.split([gradient.numel() for gradient in gradients]), strict=True):
        gradient.copy_(mean.view_as(gradient))


def agreed(wish: bool) -> bool:
    """Return what the first process wishes."""
    if process_count() == 1:
        return wish
    flag = torch.tensor([wish], dtype=torch.uint8)
    distributed.broadcast(flag, 0)
    return bool(flag.item())


def in_processes(train: Callable[[], Result], count: int) -> Result:
    """Call `train` in `count` processes at once, of which this is the first; return its result.

    Parameters
    ----------
    train : a function that can be pickled, such as functools.partial makes of one of a module
    count : at least 1; the machine's cores are shared among them
    """
    if count == 1:
        return train()
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        meeting = Path(folder) / "meeting"
        others = [context.Process(target=_join, args=(train, meeting, number, count)) for number in range(1, count)]
        threads = torch.get_num_threads()
        for process in others:
            process.start()
        try:
            return _join(train, meeting, 0, count)
        finally:
            torch.set_num_threads(threads)
            for process in others:
                process.join(JOIN_SECONDS)
                process.kill()


def _join(train: Callable[[], Result], meeting: Path, number: int, count: int) -> Result:
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // count))
    distributed.init_process_group("gloo", init_method=meeting.as_uri(), rank=number, world_size=count)
    try:
        return train()
    finally:
        distributed.destroy_process_group()
