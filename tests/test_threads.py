"""The limit on threads holds within its block only."""

from __future__ import annotations

import pytest
import torch
from threadpoolctl import threadpool_info

from facegeom.threads import one_thread


def blas_threads() -> list[int]:
    return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]


def test_one_thread_within_the_block_only() -> None:
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
