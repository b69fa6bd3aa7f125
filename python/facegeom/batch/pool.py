"""The pool: it gives jobs to workers, replaces workers that die, and yields the replies.

The pool is the same for processes on this machine and for Ray. Each worker is served by a thread that waits for it.
"""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from facegeom.batch.jobs import (
    Failure,
    JobTimeout,
    Reply,
    Task,
    Worker,
    WorkerDied,
    attempt,
    failure_of,
    prepared,
    sentence,
)
from facegeom.errors import BatchError

STARTS = 3
"""Number of times in a row that a worker may fail to start before the batch ends."""

START_PAUSE_S = 1.0
"""Time in seconds before the next start after one that failed: a lack of memory may pass."""

QUEUED = 2
"""Number of jobs that are taken from the input for each worker before a reply is awaited."""

HELD = 4
"""As `QUEUED`, with the replies that wait for earlier ones, when replies are yielded in order."""


def usable_cores() -> int:
    """Return the number of processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def in_this_process(jobs: Iterable[Any], task: Task) -> Iterator[tuple[int, Any, Reply]]:
    """Do the jobs one after the other in this process; as `Pool.run`."""
    ready = False
    for number, job in enumerate(jobs):
        if not ready:
            _prepare_here(task)
        ready = True
        reply = attempt(task, job)
        if reply.fatal is not None:
            raise reply.fatal
        yield number, job, reply


def _prepare_here(task: Task) -> None:
    try:
        first = prepared(task)
    except Exception as error:
        raise BatchError(f"the networks cannot be loaded: {failure_of(error).message}") from error
    if first.fatal is not None:
        raise first.fatal


class Pool:
    """Workers that do jobs at the same time.

    Parameters
    ----------
    make_worker : returns a new worker that is not started
    workers : largest number of workers; fewer are started if there are fewer jobs
    timeout : longest time in seconds for a job; None: no limit
    """

    def __init__(self, make_worker: Callable[[], Worker], workers: int, timeout: float | None = None) -> None:
        self._make_worker = make_worker
        self._count = workers
        self._timeout = timeout
        self._jobs: queue.SimpleQueue[tuple[int, Any] | None] = queue.SimpleQueue()
        self._replies: queue.SimpleQueue[tuple[int, Any, Reply]] = queue.SimpleQueue()
        self._changes = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._workers: set[Worker] = set()
        self._closed = False

    def run(self, jobs: Iterable[Any], *, ordered: bool = False) -> Iterator[tuple[int, Any, Reply]]:
        """Do jobs and yield the number, the job and the reply of each.

        Parameters
        ----------
        jobs : taken one by one, a few more than there are workers
        ordered : True: yield the replies in the order of the jobs; False: as they come

        Raises
        ------
        BatchError
            If workers do not start.
        Exception
            The error of a reply that ends the batch, or an error of the iteration over `jobs`.
        """
        source = iter(jobs)
        limit, open_jobs, taken, following = self._count * (HELD if ordered else QUEUED), 0, 0, 0
        waiting: dict[int, tuple[Any, Reply]] = {}
        more = True
        try:
            while True:
                while more and open_jobs + len(waiting) < limit:
                    try:
                        job = next(source)
                    except StopIteration:
                        more = False
                        break
                    self._add(taken, job)
                    taken, open_jobs = taken + 1, open_jobs + 1
                if not open_jobs:
                    return
                number, job, reply = self._replies.get()
                open_jobs -= 1
                if reply.fatal is not None:
                    raise reply.fatal
                if not ordered:
                    yield number, job, reply
                    continue
                waiting[number] = job, reply
                while following in waiting:
                    yield following, *waiting.pop(following)
                    following += 1
        finally:
            self.close()

    def close(self) -> None:
        """End all workers; jobs that are being done are given up."""
        with self._changes:
            self._closed = True
            workers = list(self._workers)
        for _ in self._threads:
            self._jobs.put(None)
        enders = [threading.Thread(target=worker.close, daemon=True) for worker in workers]
        for thread in enders:
            thread.start()
        for thread in [*enders, *self._threads]:
            thread.join()

    def _add(self, number: int, job: Any) -> None:
        self._jobs.put((number, job))
        if len(self._threads) < self._count:
            thread = threading.Thread(target=self._serve, daemon=True, name="facegeom worker")
            self._threads.append(thread)
            thread.start()

    def _serve(self) -> None:
        """Give jobs to one worker after the other, until there are no more."""
        worker: Worker | None = None
        while (item := self._jobs.get()) is not None and not self._closed:
            number, job = item
            if worker is None:
                try:
                    worker = self._started()
                except Exception as error:
                    self._replies.put((number, job, Reply(fatal=error)))
                    return
            if worker is None:  # the pool was closed
                return
            reply = self._answer(worker, job)
            if reply.failure is not None and reply.failure.fresh:
                self._end(worker)
                worker = None
            self._replies.put((number, job, reply))
        if worker is not None:
            self._end(worker)

    def _answer(self, worker: Worker, job: Any) -> Reply:
        try:
            return worker.run(job, self._timeout)
        except JobTimeout:
            return Reply(failure=Failure("TimeoutError", f"the photo took longer than {self._timeout:g} s", fresh=True))
        except WorkerDied as error:
            return Reply(failure=Failure("WorkerDied", str(error), fresh=True))
        except Exception as error:  # for example, the job cannot be pickled
            return Reply(failure=Failure(type(error).__name__, sentence(error, "the photo cannot be sent"), fresh=True))

    def _started(self) -> Worker | None:
        """Return a started worker, or None if the pool was closed meanwhile."""
        for attempts_left in reversed(range(STARTS)):
            worker = self._make_worker()
            with self._changes:
                if self._closed:
                    return None
                self._workers.add(worker)
            try:
                worker.start()
            except WorkerDied as error:
                self._end(worker)
                if not attempts_left and not self._closed:
                    raise BatchError(f"worker processes do not start: {error}") from error
                time.sleep(0.0 if self._closed else START_PAUSE_S)
            else:
                return worker
        return None

    def _end(self, worker: Worker) -> None:
        worker.close()
        with self._changes:
            self._workers.discard(worker)
