"""Shared by the benchmarks: `compare` measures an operator and its peers in turn and prints one table at the end.

python -m pytest bench --benchmark-disable-gc
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass

import pytest

ROUNDS = 9
SECONDS = 2.0  # a slow peer is measured fewer times, twice at least


@dataclass(frozen=True)
class Row:
    """Medians of one comparison in milliseconds."""

    name: str
    ours: float
    peers: dict[str, float]

    def line(self) -> str:
        peers = [f"{name} {ms:.3g} ms ({ms / self.ours:.1f}x)" for name, ms in self.peers.items()]
        return f"{self.name:44s} {self.ours:9.3f} ms   " + "   ".join(peers)


_rows: list[Row] = []


def _milliseconds(call):
    start = time.perf_counter()
    call()
    return 1e3 * (time.perf_counter() - start)


@pytest.fixture
def compare(benchmark):
    """Return compare(name, ours, peers): the results of `ours` and of each peer, for the caller to check.

    All are called once to warm up, then in turn, so that a change of the machine's load meets all of them.
    """

    def run(name, ours, peers):
        calls = {"": ours, **peers}
        results = {key: call() for key, call in calls.items()}
        times = {key: [] for key in calls}
        start = time.perf_counter()
        for turn in range(ROUNDS):
            if turn >= 2 and time.perf_counter() - start > SECONDS:
                break
            for key, call in calls.items():
                times[key].append(_milliseconds(call))
        medians = {key: statistics.median(values) for key, values in times.items()}
        row = Row(name, medians.pop(""), medians)
        _rows.append(row)
        benchmark.extra_info.update({f"{key} ms": value for key, value in medians.items()})
        benchmark.pedantic(ours, rounds=3)
        return results.pop(""), results

    return run


def pytest_terminal_summary(terminalreporter):
    if _rows:
        terminalreporter.section("facegeom beside its peers: medians, and how many times as long the peer takes")
        for row in sorted(_rows, key=lambda row: row.name):
            terminalreporter.write_line(row.line())
