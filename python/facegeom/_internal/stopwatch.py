"""Measurement of run times."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def stopwatch(timings: dict[str, float], name: str) -> Iterator[None]:
    """Add the duration of the block in milliseconds to `timings[name]`."""
    start = time.perf_counter()
    try:
        yield
    finally:
        timings[name] = timings.get(name, 0.0) + 1000.0 * (time.perf_counter() - start)
