"""Compare the results of `make bench` with those committed in bench/baseline.json.

    python bench/compare.py                 # out/bench.json with bench/baseline.json
    python bench/compare.py --write "NOTE"  # replace bench/baseline.json, keeping a note on how it was measured

Machines differ in speed, so times are compared by the ratio peer time / facegeom time of the same run. A row is marked
"slower" if this ratio decreased by more than the threshold. "less accurate" marks errors of facegeom that increased by
more than the tolerances below; the exit code is then 1. Times change the exit code only with --times.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from results import OURS, Result, number, ratios, text_table

FOLDER = Path(__file__).resolve().parent
BASELINE = FOLDER / "baseline.json"
LATEST = FOLDER.parent / "out" / "bench.json"
DEFAULT_THRESHOLD = 1.5  # between two runs on a loaded machine, ratios differed by -13 to +21 %


class Tolerance(NamedTuple):
    """An error may increase to `factor` times its former value plus `margin`.

    The results of one machine are equal to the bit; those of two compilers or processors differ by rounding.
    """

    factor: float
    margin: float


TOLERANCES = {
    "mm": Tolerance(1.05, 0.005),
    "percent": Tolerance(1.05, 0.02),
    "flipped": Tolerance(1.0, 2.0),  # triangles
}


@dataclass(frozen=True)
class Comparison:
    """One row: a result, its former state where there is one, and what got worse."""

    new: Result
    old: Result | None
    new_ratio: float | None
    old_ratio: float | None
    slower: bool
    less_accurate: tuple[str, ...]


def read_run(path: Path) -> list[Result]:
    """Return the results in a JSON file of pytest-benchmark."""
    results = []
    for benchmark in json.loads(path.read_text(encoding="utf-8"))["benchmarks"]:
        extra = benchmark["extra_info"]
        median_ms = 1e3 * benchmark["stats"]["median"]
        results.append(Result(benchmark["group"], extra["library"], median_ms, extra.get("errors", {})))
    return results


def read_baseline(path: Path) -> list[Result]:
    """Return the results in a file of `baseline_text`."""
    rows = json.loads(path.read_text(encoding="utf-8"))["results"]
    return [Result(row["group"], row["library"], row["median_ms"], row.get("errors", {})) for row in rows]


def baseline_text(results: list[Result], note: str) -> str:
    """Return the results as JSON, one result a line, rounded to four digits, without any name of the machine."""
    relative = ratios(results)
    lines = []
    for result in results:
        row = {"group": result.group, "library": result.library, "median_ms": rounded(result.median_ms)}
        if (result.group, result.library) in relative:
            row["ratio"] = rounded(relative[result.group, result.library])
        if result.errors:
            row["errors"] = {name: rounded(value) for name, value in result.errors.items()}
        lines.append("    " + json.dumps(row, ensure_ascii=False))
    return f'{{\n  "note": {json.dumps(note)},\n  "results": [\n' + ",\n".join(lines) + "\n  ]\n}\n"


def rounded(value: float) -> float:
    return float(f"{value:.4g}")


def compare(new: list[Result], old: list[Result], threshold: float = DEFAULT_THRESHOLD) -> list[Comparison]:
    """Return one comparison for each new result.

    Parameters
    ----------
    new, old : lists of Result
    threshold : float
        Factor by which a ratio peer time / facegeom time may decrease.

    Raises
    ------
    ValueError
        If the name of an error ends with a unit that has no tolerance.
    """
    former = {(result.group, result.library): result for result in old}
    new_ratios, old_ratios = ratios(new), ratios(old)
    rows = []
    for result in new:
        key = result.group, result.library
        before = former.get(key)
        new_ratio, old_ratio = new_ratios.get(key), old_ratios.get(key)
        slower = new_ratio is not None and old_ratio is not None and new_ratio * threshold < old_ratio
        worse = worse_errors(result, before) if before is not None and result.library == OURS else ()
        rows.append(Comparison(result, before, new_ratio, old_ratio, slower, worse))
    return rows


def worse_errors(new: Result, old: Result) -> tuple[str, ...]:
    """Return the names of the errors that increased by more than their tolerance, or are missing or not a number."""
    worse = []
    for name, before in old.errors.items():
        tolerance = tolerance_of(name)
        limit = tolerance.factor * before + tolerance.margin
        if not new.errors.get(name, float("nan")) <= limit:
            worse.append(name)
    return tuple(worse)


def tolerance_of(name: str) -> Tolerance:
    unit = name.rsplit("_", 1)[-1]
    if unit not in TOLERANCES:
        raise ValueError(f"no tolerance for the error {name!r}: its name must end with one of {sorted(TOLERANCES)}")
    return TOLERANCES[unit]


def report(rows: list[Comparison], not_measured: list[str]) -> list[str]:
    """Return the lines to print."""
    names = list(dict.fromkeys(name for row in rows for name in row.new.errors))
    header = ["operation", "library", "old ratio", "new ratio", "new / old", *names, ""]
    body = []
    for row in rows:
        change = row.new_ratio / row.old_ratio if row.new_ratio and row.old_ratio else None
        marks = ["slower"] if row.slower else []
        marks += [f"less accurate: {', '.join(row.less_accurate)}"] if row.less_accurate else []
        marks += ["new"] if row.old is None else []
        body.append(
            [
                row.new.group,
                row.new.library,
                number(row.old_ratio),
                number(row.new_ratio),
                number(change),
                *(error_change(name, row) for name in names),
                "; ".join(marks),
            ]
        )
    lines = text_table(header, body, left=2)
    if not_measured:
        lines += ["", "In the baseline, but not measured in this run:", *(f"  {name}" for name in not_measured)]
    return lines


def error_change(name: str, row: Comparison) -> str:
    if name not in row.new.errors:
        return ""
    old = None if row.old is None else row.old.errors.get(name)
    return f"{number(old)} -> {number(row.new.errors[name])}"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Compare the results of `make bench` with the committed baseline.")
    parser.add_argument("run", nargs="?", type=Path, default=LATEST, help="JSON of pytest-benchmark (out/bench.json)")
    parser.add_argument("--baseline", type=Path, default=BASELINE, help="bench/baseline.json by default")
    parser.add_argument(
        "--threshold",
        type=float,
        default=DEFAULT_THRESHOLD,
        help="factor by which peer time / facegeom time may decrease before a row is marked (%(default)s)",
    )
    parser.add_argument("--times", action="store_true", help="exit with 1 for slower rows too")
    parser.add_argument("--write", metavar="NOTE", help="write the run as the baseline, with a note on the machine")
    options = parser.parse_args(arguments)
    if options.threshold < 1:
        parser.error(f"--threshold must be at least 1, got {options.threshold}")
    if not options.run.is_file():
        parser.error(f"no results at {options.run}: run `make bench` first")
    if not options.write and not options.baseline.is_file():
        parser.error(f"no baseline at {options.baseline}: write it with --write")

    new = read_run(options.run)
    if options.write:
        options.baseline.write_text(baseline_text(new, options.write), encoding="utf-8")
        print(f"wrote {len(new)} results to {options.baseline}")
        return 0
    old = read_baseline(options.baseline)
    rows = compare(new, old, options.threshold)
    measured = {(row.new.group, row.new.library) for row in rows}
    not_measured = [f"{r.group}: {r.library}" for r in old if (r.group, r.library) not in measured]
    print("\n".join(report(rows, not_measured)))
    slower, worse = sum(row.slower for row in rows), sum(bool(row.less_accurate) for row in rows)
    print(f"\n{len(rows)} rows: {worse} less accurate, {slower} slower")
    return int(worse > 0 or (options.times and slower > 0))


if __name__ == "__main__":
    sys.exit(main())
