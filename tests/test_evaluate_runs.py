"""`facegeom evaluate runs`: reading the logs of training runs, and comparing them."""

import json

import numpy as np
import pytest

from facegeom.cli import main
from facegeom.errors import FacegeomError
from facegeom.evaluation.runs import LOSS, read_run, summarise

CHECK = {"chamfer_mm": 3.0, "f_percent": 70.0, "near_chamfer_mm": 2.0, "near_f_percent": 80.0, "emd_mm": 7.0}


def write_run(folder, losses, batch=8, **checks):
    """Write the log of a training run; each loss is half chamfer distance and half edge length."""
    folder.mkdir()
    rows = [
        {"step": step, "time": 0.0, "chamfer": loss / 2, "edges": loss / 2, "critic": 9.0, "correspondence": 5.0}
        for step, loss in enumerate(losses, start=1)
    ]
    row = {"step": len(losses), "images": len(losses) * batch, **{f"photo_{k}": v for k, v in (CHECK | checks).items()}}
    (folder / "steps.jsonl").write_text("\n".join(json.dumps(r) for r in [*rows, row, {**row, "turned_f_percent": 1}]))
    return folder


def test_read_run_keeps_the_last_row_of_a_repeated_step(tmp_path):
    folder = write_run(tmp_path / "a", [3.0, 2.0, 1.0])
    with open(folder / "steps.jsonl", "a") as lines:  # resumed after step 1
        lines.write("\n" + json.dumps({"step": 2, "chamfer": 7.0}))
    found = read_run(folder)
    np.testing.assert_allclose(found.loss, [3.0, 7.0, 1.0])
    assert found.images.tolist() == [8, 16, 24]
    assert found.validation == {24: CHECK}
    np.testing.assert_allclose(found.smoothed(2), [5.0, 4.0])
    assert len(found.smoothed(4)) == 0
    assert {"critic", "correspondence"}.isdisjoint(LOSS)


def test_summary_states_when_a_run_reaches_the_best_loss_of_the_first(tmp_path):
    first = read_run(write_run(tmp_path / "midpoint", [9.0, 6.0, 5.0, 4.0, 6.0, 6.0]))
    sooner = read_run(write_run(tmp_path / "adaptive", [9.0, 4.0, 4.0, 2.0, 1.0, 3.0], chamfer_mm=2.5))
    never = read_run(write_run(tmp_path / "never", [9.0] * 6))
    rows = summarise([first, sooner, never], 2)
    assert [row["best_smoothed_loss"] for row in rows] == [4.5, 1.5, 9.0]
    assert [row["reached_after"] for row in rows[:2]] == [32.0, 24.0]
    assert np.isnan(rows[2]["reached_after"])
    assert rows[1]["chamfer_mm"] == 2.5
    assert rows[1]["loss"] == 2.0
    assert rows[1]["loss_deviation"] == 1.0
    short = summarise([read_run(write_run(tmp_path / "short", [1.0]))], 2)[0]
    assert np.isnan([short["best_smoothed_loss"], short["reached_after"]]).all()


def test_error_names_a_folder_without_a_training_log(tmp_path):
    with pytest.raises(FacegeomError, match=r"steps\.jsonl does not exist"):
        read_run(tmp_path)
    (tmp_path / "steps.jsonl").write_text(json.dumps({"step": 1, "adversarial": 1.0}))
    with pytest.raises(FacegeomError, match="contains no training of a mesh network with a validation"):
        read_run(tmp_path)


def test_command_prints_a_table_and_plots_curves(tmp_path, capsys):
    folders = [str(write_run(tmp_path / name, [4.0, 3.0, 2.0])) for name in ("one", "two")]
    files = ["--json", str(tmp_path / "runs.json"), "--out", str(tmp_path / "runs.png")]
    assert main(["evaluate", "runs", *folders, "--window", "2", *files]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines if not line.startswith("-")] == ["run", "one", "two"]
    assert json.loads((tmp_path / "runs.json").read_text())["rows"][1]["chamfer_mm"] == 3.0
    assert (tmp_path / "runs.png").read_bytes().startswith(b"\x89PNG")
    assert main(["evaluate", "runs", str(tmp_path / "none")]) == 1
    assert "steps.jsonl does not exist" in capsys.readouterr().err
    assert main(["evaluate", "runs", *folders, "--window", "0"]) == 1
