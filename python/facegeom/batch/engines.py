"""The engines that run a task on many jobs: this process, worker processes, or a Ray cluster."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import Any

from facegeom._internal import check
from facegeom.batch.jobs import Reply, Task
from facegeom.batch.pool import Pool, in_this_process, usable_cores
from facegeom.batch.workers import LocalWorker

ENGINES = ("local", "ray")


def reply_stream(
    jobs: Iterable[Any],
    task: Task,
    *,
    engine: str = "local",
    address: str | None = None,
    workers: int | None = None,
    timeout: float | None = None,
    ordered: bool = False,
) -> Generator[tuple[int, Any, Reply], None, None]:
    """Do a task on jobs; yield the number, the job and the reply of each.

    Parameters
    ----------
    jobs, task : the jobs, and what is done with each
    engine, address, workers, timeout, ordered : as in `facegeom.reconstruct_many`

    Raises
    ------
    ValueError, TypeError
        If an argument is invalid.
    FacegeomError
        If the engine is not installed, or an error ends the batch.
    """
    check.choice(engine, "engine", ENGINES)
    if workers is not None:
        workers = check.count(workers, "workers")
    if timeout is not None:
        timeout = check.positive(timeout, "timeout")
    if address is not None and engine != "ray":
        raise ValueError("address is for engine='ray' only")
    if workers == 0 and (timeout is not None or engine == "ray"):
        raise ValueError("workers=0 has no worker processes: neither timeout nor engine='ray' can be used with it")
    if engine == "ray":
        from facegeom.batch import ray_engine

        return ray_engine.replies(jobs, task, address=address, workers=workers, timeout=timeout, ordered=ordered)
    return _local(jobs, task, workers, timeout, ordered)


def _local(
    jobs: Iterable[Any], task: Task, workers: int | None, timeout: float | None, ordered: bool
) -> Generator[tuple[int, Any, Reply], None, None]:
    if workers == 0:
        yield from in_this_process(jobs, task)
        return
    yield from Pool(lambda: LocalWorker(task), workers or usable_cores(), timeout).run(jobs, ordered=ordered)
