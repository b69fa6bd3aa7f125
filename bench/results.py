"""Results of the benchmarks: what one measurement holds, the times relative to facegeom, and a text table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

OURS = "facegeom"


@dataclass(frozen=True)
class Result:
    """One benchmark: an operation done by one library.

    Attributes
    ----------
    group : str
        The operation and its input. Results of one group are compared with each other.
    library : str
        `facegeom`, or the name of a peer.
    median_ms : float
        Median CPU time of one call, in milliseconds.
    errors : dict
        Measures of accuracy by name; the end of a name is its unit, and smaller is better.
    """

    group: str
    library: str
    median_ms: float
    errors: dict[str, float] = field(default_factory=dict)


def ratios(results: Iterable[Result]) -> dict[tuple[str, str], float]:
    """Return peer time / facegeom time by (group, library), for each peer whose group has a facegeom result."""
    results = list(results)
    ours = {result.group: result.median_ms for result in results if result.library == OURS}
    return {
        (result.group, result.library): result.median_ms / ours[result.group]
        for result in results
        if result.library != OURS and result.group in ours
    }


def text_table(header: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> list[str]:
    """Return the lines of a table: the first `left` columns are aligned to the left, the others to the right."""
    widths = [max(len(row[k]) for row in (header, *rows)) for k in range(len(header))]
    lines = []
    for row in (header, *rows):
        cells = [
            cell.ljust(w) if k < left else cell.rjust(w) for k, (cell, w) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return lines


def number(value: float | None) -> str:
    """Return a number with four significant digits or more, as an integer if it is one, "-" for None."""
    if value is None:
        return "-"
    return f"{value:.0f}" if abs(value) >= 1000 or float(value).is_integer() else f"{value:.4g}"
