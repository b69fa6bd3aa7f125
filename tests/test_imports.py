"""Dependencies point one way: the imports and includes are read and compared with the order of the layers."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import facegeom

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "python" / "facegeom"
SOURCES = sorted(PACKAGE.rglob("*.py"))

FOUNDATION, GEOMETRY, PARTS, PIPELINE, WORKSHOP, TOP = range(6)
LAYERS = {
    "errors": FOUNDATION,
    "_check": FOUNDATION,
    "_core": FOUNDATION,
    "geometry": GEOMETRY,
    "pipeline": PIPELINE,
    "render": PIPELINE,  # draws what the pipeline returns
    "": PIPELINE,  # facegeom/__init__.py
    "training": WORKSHOP,
    "evaluation": WORKSHOP,
    "batch": TOP,
    "cli": TOP,
    "__main__": TOP,
}


def layer(part):
    return LAYERS.get(part, PARTS)


def part_of(path):
    """First name below facegeom: the file's own stem or its folder; empty for the package itself."""
    first = path.relative_to(PACKAGE).parts[0]
    return "" if first == "__init__.py" else first.removesuffix(".py")


def imported_modules(path):
    """Every module that a file imports, wherever in the file, as dotted names."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} line {node.lineno}: relative import"
            if node.module == "facegeom":
                yield from (f"facegeom.{alias.name}" for alias in node.names)
            else:
                yield node.module or ""


def imported_parts(path):
    for module in imported_modules(path):
        names = module.split(".")
        if names[0] == "facegeom":
            yield names[1] if len(names) > 1 else ""


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_no_module_imports_from_a_layer_above(path):
    here = part_of(path)
    for there in imported_parts(path):
        assert layer(there) <= layer(here), f"{here or 'facegeom'} must not import facegeom.{there}"
        if layer(there) == WORKSHOP:
            assert layer(here) == WORKSHOP or here in ("cli", "__main__"), f"only the cli may import facegeom.{there}"


def test_geometry_needs_nothing_but_numpy():
    allowed = set(sys.stdlib_module_names) | {"numpy", "facegeom"}
    for path in (PACKAGE / "geometry").rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in tree.body:  # imports inside functions are extras, such as to_scipy
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
                assert {name.split(".")[0] for name in names} <= allowed, path.name


@pytest.mark.parametrize("module", ["facegeom", "facegeom.geometry"])
def test_a_fresh_process_loads_neither_torch_nor_opencv(module):
    code = f"import sys, {module}; print(sorted({{'torch', 'cv2', 'scipy', 'trimesh'}} & set(sys.modules)))"
    folder = str(Path(facegeom.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONPATH": folder}
    )
    assert done.stdout.strip() == "[]"


INCLUDE = re.compile(r'^\s*#\s*include\s+[<"]([^>"]+)[>"]', re.MULTILINE)


def test_the_core_knows_neither_python_nor_the_bindings():
    files = [*(ROOT / "cpp" / "facegeom").rglob("*.h"), *(ROOT / "cpp" / "facegeom").rglob("*.cpp")]
    assert files
    for path in files:
        for name in INCLUDE.findall(path.read_text(encoding="utf-8")):
            # A standard header has no folder and no suffix.
            assert name.startswith(("facegeom/", "Eigen/")) or re.fullmatch(r"[a-z_]+", name), f"{path.name}: {name}"


def test_bindings_include_their_umbrella_first():
    files = list((ROOT / "cpp" / "bindings").glob("*.cpp"))
    assert files
    for path in files:
        assert INCLUDE.findall(path.read_text(encoding="utf-8"))[0] == "pybind.h", path.name
