"""Workers on a Ray cluster: the same tasks and the same pool, with Ray's actors in place of local processes."""

from __future__ import annotations

import contextlib
import logging
import os
import pickle
import socket
import threading
from collections.abc import Generator, Iterable, Iterator
from typing import Any

from facegeom.batch.jobs import JobTimeout, Reply, Task, WorkerDied, attempt, prepared, sentence
from facegeom.batch.pool import Pool
from facegeom.errors import BatchError, FacegeomError

CONNECT_S = 10.0
"""Time in seconds in which a cluster must answer."""


def replies(
    jobs: Iterable[Any],
    task: Task,
    *,
    address: str | None,
    workers: int | None,
    timeout: float | None,
    ordered: bool,
) -> Generator[tuple[int, Any, Reply], None, None]:
    """Do a task on jobs; see `facegeom.batch.engines.reply_stream`.

    Parameters
    ----------
    workers : number of actors; None: as many as the cluster has processor cores, or GPUs if the task uses them

    Raises
    ------
    FacegeomError
        If Ray is not installed.
    BatchError
        If there is no cluster at the address.
    """
    ray = _ray()
    ours = not ray.is_initialized()
    if ours:
        _connect(ray, address, workers)
    with contextlib.ExitStack() as stack:
        if ours:
            stack.callback(ray.shutdown)
            stack.enter_context(_without_messages(ray))
        needed = {"num_gpus": 1} if _device(task).startswith("cuda") else {"num_cpus": 1}
        if workers is None:
            resource = "GPU" if "num_gpus" in needed else "CPU"
            workers = max(1, int(ray.cluster_resources().get(resource, 1)))
        # An actor that dies is replaced by the pool, so that its photo is not done twice.
        actor = ray.remote(max_restarts=0, max_task_retries=0, **needed)(_Actor)
        yield from Pool(lambda: RayWorker(ray, actor, task), workers, timeout).run(jobs, ordered=ordered)


class RayWorker:
    """An actor on the cluster; see `facegeom.batch.jobs.Worker`."""

    def __init__(self, ray: Any, actor: Any, task: Task) -> None:
        self._ray = ray
        self._class = actor
        self._task = task
        self._turn = threading.Lock()
        self._actor: Any = None
        self._closed = False

    def start(self) -> None:
        """Start the actor and prepare the task in it; waits until the cluster has a free core."""
        with self._turn:
            if self._closed:
                raise WorkerDied("the worker was closed")
            self._actor = self._class.remote()
        reply = self._answer(self._actor.prepare.remote(pickle.dumps(self._task)), None)
        if reply.fatal is not None:
            raise reply.fatal

    def run(self, job: Any, timeout: float | None) -> Reply:
        """Do one job, in at most `timeout` seconds."""
        return self._answer(self._actor.run.remote(pickle.dumps(job)), timeout)

    def close(self) -> None:
        """End the actor."""
        with self._turn:
            self._closed = True
            if self._actor is not None:
                with contextlib.suppress(Exception):  # the actor or the cluster has ended already
                    self._ray.kill(self._actor)

    def _answer(self, reference: Any, timeout: float | None) -> Reply:
        try:
            reply = pickle.loads(self._ray.get(reference, timeout=timeout))
        except self._ray.exceptions.GetTimeoutError as error:
            self.close()
            raise JobTimeout from error
        except self._ray.exceptions.RayError as error:
            cause = getattr(error, "cause", None) or error
            first = (str(cause).strip().splitlines() or [""])[0]
            raise WorkerDied(f"the Ray worker ended: {type(cause).__name__}: {first}") from error
        assert isinstance(reply, Reply)
        return reply


class _Actor:
    """The process of a worker on the cluster."""

    def prepare(self, task: bytes) -> bytes:
        """Prepare a task; return the pickled reply."""
        self._task: Task = pickle.loads(task)
        return pickle.dumps(prepared(self._task))

    def run(self, job: bytes) -> bytes:
        """Do a job; return the pickled reply."""
        return pickle.dumps(attempt(self._task, pickle.loads(job)))


def _ray() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray sends statistics of its use otherwise
    try:
        import ray
    except ModuleNotFoundError as error:
        raise FacegeomError("engine 'ray' needs the extra ray: pip install 'facegeom[ray]'") from error
    return ray


def _connect(ray: Any, address: str | None, workers: int | None) -> None:
    """Connect to a cluster, or start one on this machine if there is no address."""
    options: dict[str, Any] = {}
    if address is None and "RAY_ADDRESS" not in os.environ:
        options["include_dashboard"] = False
        if workers is not None:
            options["num_cpus"] = workers
    try:
        _reach(address or os.environ.get("RAY_ADDRESS", ""))
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **options)
    except (OSError, OverflowError, RuntimeError, ValueError) as error:
        raise BatchError(f"there is no connection to Ray: {sentence(error, type(error).__name__)}") from error


def _reach(address: str) -> None:
    """Raise OSError if nothing answers at an address "host:port" or "ray://host:port".

    Ray itself waits for many minutes then, and Ctrl-C does not end it.
    """
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), CONNECT_S).close()


@contextlib.contextmanager
def _without_messages(ray: Any) -> Iterator[None]:
    """Suppress the message about a worker that ended, which Ray prints to standard output: the reply says it."""
    module = getattr(getattr(ray, "_private", None), "worker", None)
    printer = getattr(module, "print_to_stdstream", None)
    if printer is None:
        yield
        return
    module.print_to_stdstream = lambda *args, **options: None  # type: ignore[union-attr]
    try:
        yield
    finally:
        module.print_to_stdstream = printer  # type: ignore[union-attr]


def _device(task: Any) -> str:
    options = getattr(task, "options", None) or getattr(getattr(task, "reconstruct", None), "options", {})
    return str(options.get("device", "cpu"))
