"""Tests of compare.py on results made by hand; part of `make bench`."""

import json

import pytest

from compare import baseline_text, compare, main, read_baseline, worse_errors
from results import Result

OLD = [
    Result("register", "facegeom", 100.0, {"mean_mm": 0.1, "flipped": 0}),
    Result("register", "peer", 1000.0, {"mean_mm": 0.5}),
]


def pytest_benchmark_json(results):
    return json.dumps(
        {
            "machine_info": {"node": "secret-host"},
            "benchmarks": [
                {
                    "group": r.group,
                    "extra_info": {"library": r.library, "errors": r.errors},
                    "stats": {"median": r.median_ms / 1e3, "data": [0.1] * 50},
                }
                for r in results
            ],
        }
    )


@pytest.fixture
def files(tmp_path):
    """Return a function that calls `main` on a run and on the baseline of OLD."""
    baseline, run = tmp_path / "baseline.json", tmp_path / "bench.json"
    baseline.write_text(baseline_text(OLD, "note"))

    def call(results, *options):
        run.write_text(pytest_benchmark_json(results))
        return main([str(run), "--baseline", str(baseline), *options])

    return call


def test_equal_runs_pass(files, capsys):
    assert files(OLD, "--times") == 0
    assert "2 rows: 0 less accurate, 0 slower" in capsys.readouterr().out


def test_a_machine_of_half_the_speed_changes_no_ratio(files):
    slow = [Result(r.group, r.library, 2 * r.median_ms, r.errors) for r in OLD]
    assert files(slow, "--times") == 0


def test_slower_facegeom_fails_only_with_times(files, capsys):
    slow = [Result("register", "facegeom", 160.0, OLD[0].errors), OLD[1]]
    assert files(slow) == 0
    assert "slower" in capsys.readouterr().out
    assert files(slow, "--times") == 1
    assert files(slow, "--times", "--threshold", "2") == 0


@pytest.mark.parametrize(
    ("errors", "worse"),
    [
        ({"mean_mm": 0.1099, "flipped": 2}, ()),
        ({"mean_mm": 0.1101, "flipped": 0}, ("mean_mm",)),
        ({"mean_mm": 0.1, "flipped": 3}, ("flipped",)),
        ({"mean_mm": float("nan"), "flipped": 0}, ("mean_mm",)),
        ({"flipped": 0}, ("mean_mm",)),
    ],
)
def test_larger_errors_fail(files, errors, worse):
    new = Result("register", "facegeom", 100.0, errors)
    assert worse_errors(new, OLD[0]) == worse
    assert files([new, OLD[1]]) == int(bool(worse))


def test_larger_errors_of_a_peer_do_not_fail(files):
    assert files([OLD[0], Result("register", "peer", 1000.0, {"mean_mm": 5.0})]) == 0


def test_error_without_tolerance_is_refused():
    result = Result("register", "facegeom", 1.0, {"mean_furlong": 1.0})
    with pytest.raises(ValueError, match="mean_furlong"):
        compare([result], [result])


def test_new_and_missing_rows_are_named(files, capsys):
    assert files([OLD[0], Result("smooth", "facegeom", 1.0)]) == 0
    printed = capsys.readouterr().out
    assert "register: peer" in printed
    assert any(line.startswith("smooth") and line.endswith("new") for line in printed.splitlines())


def test_written_baseline_is_read_back_without_machine_or_rounds(tmp_path):
    run, baseline = tmp_path / "bench.json", tmp_path / "baseline.json"
    run.write_text(pytest_benchmark_json(OLD))
    assert main([str(run), "--baseline", str(baseline), "--write", "two cores"]) == 0
    assert read_baseline(baseline) == OLD
    written = json.loads(baseline.read_text())
    assert written["note"] == "two cores"
    assert written["results"][1]["ratio"] == 10
    assert "secret-host" not in baseline.read_text()
    assert "data" not in baseline.read_text()


def test_missing_file_is_a_usage_error(tmp_path, capsys):
    with pytest.raises(SystemExit) as failure:
        main([str(tmp_path / "none.json")])
    assert failure.value.code == 2
    assert "none.json" in capsys.readouterr().err
