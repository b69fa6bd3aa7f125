"""One thread for BLAS, OpenMP and torch inside the calls of facegeom, safe in threads and in forked processes.

Four kinds of numbers of threads exist, and each has a scope of its own:

- BLAS with a thread pool of its own, such as the OpenBLAS of NumPy and SciPy: one number for the process. The first
  thread that enters `one_thread` sets it to 1, and the last one that leaves restores it.
- OpenMP, which torch uses, and MKL as a library: one number for each thread of the program. Each thread sets and
  restores its own. `torch.set_num_threads` would also change the number with which threads start that use torch for
  the first time, so the OpenMP runtime is called directly.
- The MKL inside torch: like OpenMP, but `torch.set_num_threads` gives it a number of its own, which must be set, too.
- OpenCV: one number for the process, which is set and restored like that of BLAS.

A forked child has only the thread that called fork. A lock that another thread held stays locked in the child, and a
pool of OpenMP threads that the parent had started makes the child wait for ever at its next parallel region. Therefore
a fork waits until no other thread is inside `one_thread`, facegeom starts no parallel region, and caches are filled
inside `one_thread` only.
"""

from __future__ import annotations

import ctypes
import inspect
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache, wraps
from typing import Any, ParamSpec, TypeVar, cast

from threadpoolctl import ThreadpoolController

LONGEST_WAIT_S = 10.0
"""Longest time in seconds for which a fork waits until other threads have left `one_thread`. There is a limit because a
thread inside may itself wait for a lock that the forking thread holds, for example in a network that the caller gave.
"""

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


@dataclass
class _Pools:
    """The thread pools of the libraries that are loaded."""

    modules: int = -1  # number of imported modules when the libraries were searched
    shared: list[Any] = field(default_factory=list)  # controllers of libraries with one number for the process
    own: list[Any] = field(default_factory=list)  # controllers of libraries with one number for each thread
    mkl: Callable[[int], int] | None = None  # sets the number of threads of torch's MKL and returns the one before

    def refresh(self, modules: int) -> None:
        """Search the libraries again if modules were imported since the last search; a search takes 5 ms."""
        if modules == self.modules:
            return
        found = ThreadpoolController().lib_controllers
        apart = [
            pool for pool in found if getattr(pool, "threading_layer", None) != "openmp"
        ]  # else: limited by OpenMP
        self.own = [pool for pool in apart if pool.internal_api in ("openmp", "mkl") and pool.prefix != "vcomp"]
        self.shared = [pool for pool in apart if pool.internal_api not in ("openmp", "mkl")]
        core = getattr(sys.modules.get("torch"), "_C", None)
        if self.mkl is None and core is not None:
            self.mkl = getattr(ctypes.CDLL(core.__file__), "MKL_Set_Num_Threads_Local", None)
        self.modules = modules


class _Gate:
    """The threads that are inside `one_thread`, and the numbers of BLAS threads before the first one entered."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.inside = 0  # number of threads inside `one_thread`
        self.forking = 0  # number of threads that call fork now
        self.forking_inside = 0  # number of those of them that are inside `one_thread`
        self.limited: dict[str, tuple[Any, int]] = {}  # file of a BLAS library -> its controller and number of threads
        self.opencv = 0  # number of OpenCV's threads before the first thread entered; 0 if it is not limited

    def limit(self, pools: _Pools) -> None:
        """Set OpenCV and all BLAS libraries that are not limited yet to one thread."""
        count = getattr(sys.modules.get("cv2"), "getNumThreads", None)
        if not self.opencv and count is not None and not _opencv_has_lost_its_threads and count() > 1:
            self.opencv = count()
            sys.modules["cv2"].setNumThreads(1)
        for pool in pools.shared:
            if pool.filepath not in self.limited:
                self.limited[pool.filepath] = pool, pool.get_num_threads()
                _set_shared(pool, 1)

    def restore(self) -> None:
        """Restore the numbers of threads of OpenCV and the BLAS libraries."""
        if self.opencv:
            sys.modules["cv2"].setNumThreads(self.opencv)
            self.opencv = 0
        for pool, count in self.limited.values():
            _set_shared(pool, count)
        self.limited.clear()


class _Thread(threading.local):
    """State of one thread of the program."""

    def __init__(self) -> None:
        self.depth = 0  # number of `one_thread` blocks around the current statement
        self.modules = -1  # number of imported modules when this thread was limited
        self.limited: dict[str, tuple[Any, int]] = {}  # file of a library -> its controller and number of threads
        self.mkl: int | None = None  # number of threads of torch's MKL for this thread, 0 if it has no own number

    def limit(self, pools: _Pools) -> None:
        """Set OpenMP and MKL to one thread for this thread."""
        # At its first use in a thread, torch sets the number of OpenMP threads. That must happen before the limit.
        first_use = getattr(sys.modules.get("torch"), "get_num_threads", None)
        if first_use is not None:
            first_use()
        for pool in pools.own:
            self.limited.setdefault(pool.filepath, (pool, pool.get_num_threads()))
            pool.set_num_threads(1)
        if pools.mkl is not None:
            before = pools.mkl(1)
            if self.mkl is None:
                self.mkl = before

    def restore(self, pools: _Pools) -> None:
        """Restore the numbers of threads of this thread."""
        if self.mkl is not None and pools.mkl is not None:
            pools.mkl(self.mkl)
        for pool, count in self.limited.values():
            pool.set_num_threads(count)
        self.mkl = None
        self.limited.clear()
        self.modules = -1


_pools = _Pools()
_gate = _Gate()
_thread = _Thread()
_loading = threading.RLock()  # held while a value of `load_once` is computed, only inside `one_thread`
_opencv_has_lost_its_threads = False  # True in a forked child until OpenCV's threads are switched off


@contextmanager
def one_thread() -> Iterator[None]:
    """Run NumPy's BLAS, OpenCV and torch on one thread inside the block; also a decorator, `@one_thread()`.

    Notes
    -----
    The network takes 50 ms for a 128-pixel crop on one thread. A second thread saves little time on an idle machine.
    Where cores are shared, or fewer than the libraries assume, it makes the network several times slower, because idle
    threads wait actively. With one thread, the result for a photo also does not depend on the number of threads.

    Blocks may be nested, and any number of threads may be inside at the same time. BLAS and OpenCV are limited for the
    whole process until the last thread leaves; OpenMP and torch are limited in the threads inside only. A library that
    is loaded inside the block is limited at the beginning of the next block inside it.
    """
    _enter()
    try:
        _limit()
        yield
    finally:
        _leave()


def load_once(maxsize: int) -> Callable[[Callable[_Arguments, _Result]], Callable[_Arguments, _Result]]:
    """Return a decorator like `functools.lru_cache` whose function is called once for each key, whatever the threads.

    Without the lock, threads that need a network at the same time would each load their own. A value is computed inside
    `one_thread`, so no fork happens meanwhile. The decorated function must not be called while a module is imported.

    Parameters
    ----------
    maxsize : int, number of values that are kept
    """

    def decorate(function: Callable[_Arguments, _Result]) -> Callable[_Arguments, _Result]:
        cached, signature = lru_cache(maxsize)(function), inspect.signature(function)

        @wraps(function)
        def call(*args: _Arguments.args, **options: _Arguments.kwargs) -> _Result:
            given = signature.bind(*args, **options)  # f(), f(False) and f(head=False) must be one key
            given.apply_defaults()
            with one_thread(), _loading:
                return cast("Callable[_Arguments, _Result]", cached)(*given.args, **given.kwargs)

        call.cache_clear = cached.cache_clear  # type: ignore[attr-defined]
        return call

    return decorate


def limit_worker_to_one_thread() -> None:
    """Limit this worker process to one thread for BLAS and, if they are loaded, torch and OpenCV.

    Notes
    -----
    The limit remains until the process ends; `one_thread` limits a block only. Without the limit, two fits of the face
    model in parallel, each with two BLAS threads on two cores, take up to 40 times as long as with one thread each.
    """
    ThreadpoolController().limit(limits=1, user_api="blas")
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(1)
    opencv = sys.modules.get("cv2")
    if opencv is not None:
        opencv.setNumThreads(0)


def _enter() -> None:
    """Count this thread as inside, after forks that have begun."""
    if not _thread.depth:
        with _gate.changed:
            while _gate.forking:
                _gate.changed.wait()
            _gate.inside += 1
    _thread.depth += 1


def _limit() -> None:
    """Limit all libraries that are not limited yet to one thread."""
    modules = len(sys.modules)
    if modules != _thread.modules:
        with _gate.changed:
            _pools.refresh(modules)
            _gate.limit(_pools)
        _thread.limit(_pools)
        _thread.modules = modules
        _switch_off_lost_threads()


def _leave() -> None:
    _thread.depth -= 1
    if not _thread.depth:
        _thread.restore(_pools)
        with _gate.changed:
            _gate.inside -= 1
            if not _gate.inside:
                _gate.restore()
            _gate.changed.notify_all()


def _set_shared(pool: Any, count: int) -> None:
    """Set the number of threads of a BLAS library; the caller holds the lock of the gate.

    threadpoolctl ignores all threads but the one that set the number of OpenBLAS first, until that thread releases it.
    """
    release = getattr(pool, "clear_controlling_thread", None)
    if release is None:
        pool.set_num_threads(count)
        return
    release(force=True)
    pool.set_num_threads(count)
    release()


def _switch_off_lost_threads() -> None:
    """Switch off OpenCV's threads in a forked child, whose parent may have started them.

    The number 0 means that no threads are used. With the number 1, OpenCV would wait for the lost threads to end.
    """
    global _opencv_has_lost_its_threads
    if _opencv_has_lost_its_threads:
        _opencv_has_lost_its_threads = False
        sys.modules["cv2"].setNumThreads(0)


def _before_fork() -> None:
    """Wait until no thread is inside `one_thread` except threads that call fork themselves."""
    with _gate.changed:
        _gate.forking += 1
        _gate.forking_inside += _thread.depth > 0
        _gate.changed.notify_all()
        _gate.changed.wait_for(lambda: _gate.inside == _gate.forking_inside, LONGEST_WAIT_S)


def _after_fork_in_parent() -> None:
    with _gate.changed:
        _gate.forking -= 1
        _gate.forking_inside -= _thread.depth > 0
        _gate.changed.notify_all()


def _after_fork_in_child() -> None:
    """Make new locks, because other threads may have held the old ones, and forget the other threads."""
    global _gate, _loading, _opencv_has_lost_its_threads
    limited = _gate.limited
    _gate, _loading = _Gate(), threading.RLock()
    _gate.limited = limited
    if _thread.depth:
        _gate.inside = 1
    else:
        _gate.restore()
    _opencv_has_lost_its_threads = hasattr(sys.modules.get("cv2"), "setNumThreads")


if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
