"""Thread limits for BLAS and torch, whose operations on a single photo are fastest on one thread."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

from threadpoolctl import ThreadpoolController


@lru_cache(maxsize=1)
def _blas() -> ThreadpoolController:
    return ThreadpoolController().select(user_api="blas")


def limit_worker_to_one_thread() -> None:
    """Limit this worker process to one thread for BLAS and, if it is loaded, torch.

    Notes
    -----
    The limit remains until the process ends; `one_thread` limits a block only. Without the limit, two fits of the face
    model in parallel, each with two BLAS threads on two cores, take up to 40 times as long as with one thread each.
    """
    _blas().limit(limits=1)
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(1)


@contextmanager
def one_thread() -> Iterator[None]:
    """Run NumPy's BLAS and, if it is loaded, torch on one thread inside the block.

    Notes
    -----
    The network takes 50 ms for a 128-pixel crop on one thread. A second thread saves little time on an idle machine.
    Where cores are shared, or fewer than the libraries assume, it makes the network several times slower, because idle
    threads wait actively. With one thread, the result for a photo also does not depend on the number of threads. The
    limit applies to the whole process, so other Python threads are limited too during the block.
    """
    torch = sys.modules.get("torch")
    before = torch.get_num_threads() if torch is not None else 0
    with _blas().limit(limits=1):
        if torch is None:
            yield
            return
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(before)
