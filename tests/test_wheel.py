"""The wheel in a new environment outside the source tree, and the source distribution."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
LARGEST_WHEEL = 80e6  # bytes
LARGEST_SLIM = 500e6  # bytes, the environment without torch

RECONSTRUCT = """
import sys, facegeom
from facegeom.reconstruction import demo_photo
assert not facegeom.__file__.startswith(sys.argv[1]), facegeom.__file__
rec = facegeom.reconstruct(demo_photo())
assert len(rec.mesh.vertices) == 30_268, rec.mesh
rec.save("face.glb")
"""


def run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run([str(part) for part in command], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that `pip wheel .` builds from the source tree."""
    folder = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, ROOT, cwd=folder)
    (path,) = folder.glob("facegeom-*.whl")
    return path


@pytest.fixture(scope="module")
def slim(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of a virtual environment that contains the wheel and its requirements without torch."""
    folder = tmp_path_factory.mktemp("slim")
    venv.create(folder / "venv", with_pip=True)
    bin_folder = folder / "venv" / ("Scripts" if sys.platform == "win32" else "bin")
    run(bin_folder / "python", "-m", "pip", "install", "-q", "--no-deps", wheel, cwd=folder)
    run(bin_folder / "python", "-m", "pip", "install", "-q", "-r", ROOT / "requirements-slim.txt", cwd=folder)
    return bin_folder


@pytest.fixture(scope="module")
def empty(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of a virtual environment that contains only the wheel and its requirements."""
    folder = tmp_path_factory.mktemp("empty")
    venv.create(folder / "venv", with_pip=True)
    bin_folder = folder / "venv" / ("Scripts" if sys.platform == "win32" else "bin")
    run(bin_folder / "python", "-m", "pip", "install", "-q", "-c", ROOT / "constraints.txt", wheel, cwd=folder)
    return bin_folder


def test_wheel_contains_the_required_files_and_is_small(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert wheel.stat().st_size < LARGEST_WHEEL
    for part in (
        "facegeom/_core.",
        "facegeom/data/portrait.jpg",
        "facegeom/face_model/face_model.npz",
        "facegeom/weights/facevision.safetensors",
        "facegeom/mesh/viewer/page.html",
        "facegeom/weights/facevision.json",
        "facegeom/networks/onnx/graphs/facevision.onnx",
        "facegeom/networks/onnx/graphs/facevision.json",
        "facegeom/py.typed",
        "licenses/LICENSE",
        "licenses/NOTICE",
    ):
        assert any(part in name for name in names), part
    assert sum(name.startswith("facegeom/_core.") and name.endswith((".so", ".pyd")) for name in names) == 1
    assert not [name for name in names if name.startswith(("tests", "bench", "cpp"))]


def test_wheel_reconstructs_a_photo_in_an_empty_environment(empty: Path, tmp_path: Path) -> None:
    run(empty / "python", "-c", RECONSTRUCT, ROOT, cwd=tmp_path)
    assert (tmp_path / "face.glb").stat().st_size > 100_000
    run(empty / "facegeom", "demo", "-o", "out", cwd=tmp_path)
    assert {path.name for path in (tmp_path / "out").iterdir()} >= {"head.glb", "head.obj", "preview.png"}
    answer = run(
        empty / "facegeom", "reconstruct", ROOT / "python/facegeom/data/portrait.jpg", "-o", "a.ply", "--json",
        cwd=tmp_path,
    )  # fmt: skip
    assert json.loads(answer)["photos"][0]["error"] is None


def test_slim_environment_is_small_and_reconstructs_without_torch(slim: Path, tmp_path: Path) -> None:
    files = [path for path in slim.parent.rglob("*") if path.is_file() and not path.is_symlink()]
    assert not [path for path in files if path.match("*/torch/__init__.py")]
    assert sum(path.stat().st_size for path in files) < LARGEST_SLIM
    run(
        slim / "python", "-c", RECONSTRUCT.replace("demo_photo())", "demo_photo(), backend='onnx')"), ROOT, cwd=tmp_path
    )
    assert (tmp_path / "face.glb").stat().st_size > 100_000
    run(slim / "facegeom", "demo", "-o", "out", "--backend", "onnx", cwd=tmp_path)
    assert {path.name for path in (tmp_path / "out").iterdir()} >= {"head.glb", "head.obj", "preview.png"}
    assert "not installed" in run(slim / "facegeom", "info", "--devices", cwd=tmp_path)
    photo = ROOT / "python/facegeom/data/portrait.jpg"
    for pipeline in ("facevision", "pixel2mesh", "gcn_igan"):
        run(
            slim / "facegeom", "reconstruct", photo, "-o", f"{pipeline}.ply", "--backend", "onnx",
            "--pipeline", pipeline, cwd=tmp_path,
        )  # fmt: skip
    with pytest.raises(AssertionError, match="backend='torch' needs PyTorch: pip install torch; or use backend='onnx'"):
        run(slim / "facegeom", "reconstruct", photo, "-o", "torch.ply", cwd=tmp_path)


def test_geometry_alone_loads_neither_torch_nor_opencv(empty: Path, tmp_path: Path) -> None:
    code = "import sys, facegeom.geometry; sys.exit(bool({'torch', 'cv2'} & set(sys.modules)))"
    run(empty / "python", "-c", code, cwd=tmp_path)


def test_source_distribution_contains_eigen_and_builds_offline(tmp_path: Path) -> None:
    pytest.importorskip("build")
    pytest.importorskip("scikit_build_core")
    run("make", "sdist", f"DIST={tmp_path}", cwd=ROOT)
    (release,) = tmp_path.glob("facegeom-*.tar.gz")
    with tarfile.open(release) as archive:
        names = archive.getnames()
        assert any(name.endswith("cpp/third_party/eigen/Eigen/Core") for name in names)
        archive.extractall(tmp_path / "source", filter="data")
    (source,) = (tmp_path / "source").iterdir()
    run(
        sys.executable, "-m", "pip", "wheel", "-q", "--no-index", "--no-build-isolation", "--no-deps",
        "-w", tmp_path / "wheel", source, cwd=tmp_path,
    )  # fmt: skip
    assert list((tmp_path / "wheel").glob("facegeom-*.whl"))
