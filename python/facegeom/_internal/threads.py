"""One thread at a time for the small matrices and networks of a single photo."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

from threadpoolctl import ThreadpoolController


@lru_cache(maxsize=1)
def _blas() -> ThreadpoolController:
    return ThreadpoolController().select(user_api="blas")


def stay_on_one_thread() -> None:
    """Do for good, in a process that is one of several, what `one_thread` does within a block.

    Notes
    -----
    Two fits of the face model at a time, each on two BLAS threads of two cores, take up to 40 times as long as on one
    each.
    """
    _blas().limit(limits=1)
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(1)


@contextmanager
def one_thread() -> Iterator[None]:
    """Run NumPy's BLAS, and torch where it is loaded, on one thread within the block.

    Notes
    -----
    A 128-pixel crop takes the network 50 ms on one thread; a second thread gains little on an idle machine and, since
    idle workers spin, costs a multiple where cores are shared or fewer than the libraries believe. One thread also
    makes a photo's result independent of how many there are. The numbers of threads are the process's: what other
    Python threads compute meanwhile is limited too.
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
