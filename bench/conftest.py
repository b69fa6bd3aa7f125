"""Fixtures of the benchmarks, and the table that is printed at the end of a run.

Times are CPU seconds of this process, so that other processes change them little, and every library is limited to one
thread.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

# The libraries read these when they are imported.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "IGL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import numpy as np  # noqa: E402
import pytest  # noqa: E402

from results import OURS, Result, number, ratios, text_table  # noqa: E402

MESH_SIDES = {"29k": 171, "117k": 342}
_results: list[Result] = []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "measure" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.benchmark(timer=time.process_time, disable_gc=True, min_rounds=3, max_time=0.5))


class Measure:
    """Measures one library's call with pytest-benchmark and keeps the result for the table."""

    def __init__(self, benchmark: Any) -> None:
        self._benchmark = benchmark
        self._group = self._library = ""

    def __call__(
        self, group: str, library: str, calls: dict[str, Callable[[], Any]], rounds: int | None = None
    ) -> tuple[Any, Any]:
        """Measure `calls[library]` and return its answer and the answer to check it against.

        Parameters
        ----------
        group : str
            The operation and its input.
        library : str
            Key of the call to measure.
        calls : dict
            One call for each library, without arguments; facegeom's and at least one peer's.
        rounds : int, optional
            Number of calls for a slow peer, without a warm-up call. By default pytest-benchmark chooses.

        Returns
        -------
        answer, other : the result of the measured call, and that of facegeom; where facegeom is measured, that of the
            first peer
        """
        self._group, self._library = group, library
        self._benchmark.group = group
        self._benchmark.extra_info["library"] = library
        call = calls[library]
        answer = self._benchmark(call) if rounds is None else self._benchmark.pedantic(call, rounds=rounds)
        other = next(name for name in calls if (name == OURS) != (library == OURS))
        return answer, calls[other]()

    def errors(self, **values: float) -> None:
        """Keep measures of accuracy of the answer; see `Result.errors`."""
        self._benchmark.extra_info["errors"] = {name: float(value) for name, value in values.items()}

    def result(self) -> Result | None:
        """Return the result, or None with --benchmark-disable or where the call was skipped or failed."""
        if self._benchmark.stats is None:
            return None
        median_ms = 1e3 * self._benchmark.stats.stats.median
        return Result(self._group, self._library, median_ms, self._benchmark.extra_info.get("errors", {}))


@pytest.fixture
def measure(benchmark):
    """A `Measure` for one call."""
    measured = Measure(benchmark)
    yield measured
    result = measured.result()
    if result is not None:
        _results.append(result)


@pytest.fixture(params=MESH_SIDES, scope="module")
def mesh(request):
    """Name, vertices (n, 3) in mm and triangles of a jittered grid in the shape of a face, 170 mm wide."""
    side = MESH_SIDES[request.param]
    x, y = np.meshgrid(np.arange(side, dtype=float), np.arange(side, dtype=float))
    bump = 40 * np.exp(-((x / side - 0.5) ** 2 + (y / side - 0.5) ** 2) * 6)
    x += np.random.default_rng(0).uniform(-0.3, 0.3, x.shape)
    V = np.stack([x * 170 / side, -y * 170 / side, bump], axis=-1).reshape(-1, 3)
    ids = np.arange(side * side).reshape(side, side)
    a, b, c, d = ids[:-1, :-1].ravel(), ids[:-1, 1:].ravel(), ids[1:, :-1].ravel(), ids[1:, 1:].ravel()
    return request.param, V, np.stack([[a, c, b], [b, c, d]]).transpose(2, 0, 1).reshape(-1, 3).copy()


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter):
    if not _results:
        return
    relative = ratios(_results)
    names = list(dict.fromkeys(name for result in _results for name in result.errors))
    rows, previous = [], None
    for result in _results:
        ratio = relative.get((result.group, result.library))
        rows.append(
            [
                result.group if result.group != previous else "",
                result.library,
                number(result.median_ms),
                "" if ratio is None else f"{ratio:.1f}x",
                *(number(result.errors[name]) if name in result.errors else "" for name in names),
            ]
        )
        previous = result.group
    terminalreporter.section("facegeom and its peers: median CPU time, time / time of facegeom, errors")
    for line in text_table(["operation", "library", "ms", "ratio", *names], rows, left=2):
        terminalreporter.write_line(line)
