"""The thread limit applies only within its `with` block, or only in the worker process."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor

import pytest
import torch
from threadpoolctl import threadpool_info

from facegeom._internal.threads import limit_worker_to_one_thread, one_thread


def blas_threads() -> list[int]:
    return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]


def test_one_thread_applies_within_the_block_only() -> None:
    before = torch.get_num_threads(), blas_threads()
    with one_thread():
        assert torch.get_num_threads() == 1
        assert set(blas_threads()) <= {1}
    assert (torch.get_num_threads(), blas_threads()) == before


def test_limits_are_restored_after_an_error() -> None:
    before = torch.get_num_threads(), blas_threads()
    with pytest.raises(KeyError), one_thread():
        raise KeyError
    assert (torch.get_num_threads(), blas_threads()) == before


def test_worker_process_uses_one_thread_and_its_parent_does_not() -> None:
    before = blas_threads()
    with ProcessPoolExecutor(1, initializer=limit_worker_to_one_thread) as pool:
        assert set(pool.submit(blas_threads).result()) <= {1}
        assert pool.submit(torch.get_num_threads).result() == 1
    assert blas_threads() == before
