"""The eight examples run in a fresh process from another folder, and write what their docstrings say."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import facegeom

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.py"))
PACKAGE_ROOT = Path(facegeom.__file__).parents[1]


def run_example(number, folder):
    """Run an example with its results in `folder`; return what it printed."""
    (script,) = [path for path in EXAMPLES if path.name.startswith(f"{number:02d}_")]
    done = subprocess.run(
        [sys.executable, "-P", str(script), str(folder / "results")],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(PACKAGE_ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    assert os.listdir(folder) == ["results"]  # nothing outside the folder that was asked for
    return done.stdout


def picture(path):
    """Colours of a picture, (h, w, 3)."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"), dtype=float)


def numbers(text, pattern):
    return [float(value) for value in re.findall(pattern, text)]


def test_there_are_nine_examples_of_less_than_40_lines():
    assert [path.name[:3] for path in EXAMPLES] == ["01_", "02_", "03_", "04_", "05_", "06_", "07_", "08_", "09_"]
    for path in EXAMPLES:
        assert len(path.read_text(encoding="utf-8").splitlines()) < 40, path.name


@pytest.mark.slow
def test_photo_to_mesh(tmp_path):
    run_example(1, tmp_path)
    results = tmp_path / "results"
    counts = {len(facegeom.FaceMesh.load(results / f"face.{suffix}").faces) for suffix in ("glb", "obj", "ply", "stl")}
    assert len(counts) == 1
    width = np.ptp(facegeom.FaceMesh.load(results / "face.ply").vertices[:, 0])
    assert 120 < width < 200  # millimetres
    marked = picture(results / "landmarks.png")
    green = (np.abs(marked - (0, 255, 0)).sum(axis=2) == 0).sum()
    assert green > 200  # 68 dots
    assert picture(results / "preview.png").std() > 10


@pytest.mark.slow
def test_head_and_blendshapes(tmp_path):
    printed = run_example(2, tmp_path)
    assert "mouthSmile" in printed  # the person in the photo smiles
    head = facegeom.FaceMesh.load(tmp_path / "results" / "head.glb")
    neutral = facegeom.FaceMesh.load(tmp_path / "results" / "head_neutral.glb")
    assert len(head.blendshapes) == 52
    assert head.texture.shape == (512, 512, 3)
    assert max(neutral.weights.values()) > 0.2
    pictures = np.split(picture(tmp_path / "results" / "expressions.png"), 4, axis=1)
    for changed in pictures[1:]:
        assert (np.abs(changed - pictures[0]).sum(axis=2) > 60).sum() > 100  # pixels that the expression changed


@pytest.mark.slow
def test_register_two_meshes(tmp_path):
    template, by_shape, by_embedding = numbers(run_example(3, tmp_path), r"([\d.]+) mm")
    assert by_embedding < 0.5
    assert by_embedding < by_shape < 0.6 * template
    assert len(facegeom.FaceMesh.load(tmp_path / "results" / "registered.ply").vertices) > 6000
    assert picture(tmp_path / "results" / "registration.png").std() > 10


@pytest.mark.slow
def test_delaunay_and_smoothing(tmp_path):
    printed = run_example(4, tmp_path)
    noisy, *smoothed = numbers(printed, r"([\d.]+) mm from the sphere")
    assert max(smoothed) < 0.5 * noisy
    noisy, *smoothed = numbers(printed, r"mean curvature ([\d.]+)")
    assert max(smoothed) < 0.2 * noisy
    assert picture(tmp_path / "results" / "smoothing.png").std() > 10


@pytest.mark.slow
def test_texture(tmp_path):
    (share,) = numbers(run_example(5, tmp_path), r"(\d+) %")
    assert 10 < share < 60
    results = tmp_path / "results"
    assert picture(results / "textured.texture.png").shape == (1024, 1024, 3)
    assert "textured.texture.png" in (results / "textured.mtl").read_text(encoding="utf-8")
    plain, marked = np.split(picture(results / "atlas.png"), 2, axis=1)
    assert (marked <= plain + 1).all()
    assert (marked[300, 512] > 0.9 * plain[300, 512]).all()  # forehead: visible in the photo
    assert (marked[900, 512] < 0.5 * plain[900, 512]).all()  # neck: inferred
    photographed, checkered = np.split(picture(results / "texture.png"), 2, axis=1)
    assert (np.abs(photographed - checkered).sum(axis=2) > 100).mean() > 0.1


@pytest.mark.slow
def test_training_in_miniature(tmp_path):
    pytest.importorskip("scipy", reason="needs facegeom[train]")
    errors = numbers(run_example(6, tmp_path), r"([\d.]+) mm")
    assert errors[-1] < 3.0 < errors[0]
    rows = np.split(picture(tmp_path / "results" / "training.png"), 3)
    assert np.abs(rows[1] - rows[2]).mean() < 5  # grey values; the predicted depth looks like the true one
    assert rows[1].std() > 10


def test_person(tmp_path):
    printed = run_example(7, tmp_path)
    assert len(re.findall(r"^photo \d: yaw .* used$", printed, re.MULTILINE)) == 3
    head = facegeom.FaceMesh.load(tmp_path / "results" / "person.glb")
    assert len(head.vertices) > 30_000
    assert (tmp_path / "results" / "person_neutral.ply").exists()


def test_video(tmp_path):
    printed = run_example(8, tmp_path)
    rolls = numbers(printed, r"roll (-?[\d.]+)")
    assert len(rolls) == 4
    assert np.ptp(rolls) > 10  # the portrait rolls by 8 degrees to both sides
    results = tmp_path / "results"
    assert len(facegeom.FaceMesh.load(results / "performance.glb").vertices) > 30_000
    assert len((results / "performance.csv").read_text(encoding="utf-8").splitlines()) == 21
    assert (results / "performance.bvh").exists()


def test_scan(tmp_path):
    printed = run_example(9, tmp_path)
    assert "unit cm" in printed
    mean, p95 = numbers(printed, r"([\d.]+) mm")
    assert mean < p95 < 1.0
    assert len(facegeom.FaceMesh.load(tmp_path / "results" / "scan_head.glb").blendshapes) == 52
    assert (tmp_path / "results" / "scan_neutral.ply").exists()
