"""Imports form layers without cycles: every import statement is read and compared with the table of layers."""

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

LAYERS = [
    {"_internal", "errors", "_core"},
    {"geometry", "images"},
    {"mesh"},
    {"face_model"},
    {"networks"},
    {"detection", "texture"},
    {"pipelines"},
    {"reconstruction"},
    {"measures", "render", "person", "rigging"},
    {"tracking"},
    {"batch"},
    {"training"},
    {"evaluation"},
    {"cli", "__main__"},
]
"""Lowest layer first. A module imports from its own package and from lower layers only."""

LAYER = {part: number for number, parts in enumerate(LAYERS) for part in parts}

WITHIN = {("_internal", "errors"), ("geometry", "_core"), ("cli", "__main__"), ("__main__", "cli")}
"""Further allowed pairs (importer, imported)."""

LAZY_ROOT = "__init__"
"""facegeom/__init__.py exports names of all layers; it imports their modules at the first use."""


def part_of(path):
    """Return the folder directly below facegeom that contains a file, or the name of a module at that level."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def module_name(path):
    """Return the dotted name of a source file."""
    names = list(path.relative_to(PACKAGE.parent).with_suffix("").parts)
    return ".".join(names[:-1] if names[-1] == "__init__" else names)


MODULES = {module_name(path) for path in SOURCES}


def imported_modules(path):
    """Yield the dotted name of every module that a file imports, including imports inside functions."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} line {node.lineno}: relative import"
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole in MODULES else node.module


def imported_parts(path):
    """Yield the parts of facegeom that a file imports."""
    for module in imported_modules(path):
        names = module.split(".")
        if names[0] == "facegeom" and len(names) > 1:
            yield names[1]


def test_every_part_of_the_package_has_a_layer():
    parts = {part_of(path) for path in SOURCES} - {LAZY_ROOT}
    assert parts | {"_core"} == set(LAYER)


@pytest.mark.parametrize(
    "path", [p for p in SOURCES if part_of(p) != LAZY_ROOT], ids=lambda path: path.relative_to(PACKAGE).as_posix()
)
def test_a_module_imports_from_its_own_package_and_lower_layers_only(path):
    here = part_of(path)
    for there in imported_parts(path):
        if there not in LAYER:  # a public name such as `facegeom.reconstruct`, through the lazy root
            assert here in {"cli", "training", "evaluation"}, f"{here} must import facegeom.{there} from its module"
            continue
        lower = LAYER[there] < LAYER[here] or there == here or (here, there) in WITHIN
        assert lower, f"{module_name(path)} must not import facegeom.{there}"
        if there == "_core":
            assert here == "geometry", "only geometry imports the compiled core"


def test_imports_form_no_cycle():
    edges = {
        module_name(path): {
            name for name in imported_modules(path) if name in MODULES and name not in {module_name(path), "facegeom"}
        }
        for path in SOURCES
        if part_of(path) != LAZY_ROOT
    }
    done, open_path = set(), []

    def visit(module):
        assert module not in open_path, " -> ".join([*open_path[open_path.index(module) :], module])
        if module in done:
            return
        open_path.append(module)
        for other in sorted(edges.get(module, ())):
            visit(other)
        open_path.pop()
        done.add(module)

    for module in sorted(edges):
        visit(module)
    assert done >= set(edges)


def test_geometry_imports_numpy_only():
    allowed = set(sys.stdlib_module_names) | {"numpy", "facegeom"}
    for path in (PACKAGE / "geometry").rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in tree.body:  # imports inside functions are extras, such as to_scipy
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
                assert {name.split(".")[0] for name in names} <= allowed, path.name


@pytest.mark.parametrize(
    ("module", "absent"),
    [
        ("facegeom", {"torch", "cv2", "scipy", "trimesh"}),
        ("facegeom.geometry", {"torch", "cv2", "scipy", "trimesh"}),
        ("facegeom.reconstruction", {"torch", "scipy", "trimesh"}),
        ("facegeom.cli", {"torch", "scipy", "trimesh"}),
    ],
)
def test_a_fresh_process_does_not_load_heavy_libraries(module, absent):
    code = f"import sys, {module}; print(sorted({absent} & set(sys.modules)))"
    folder = str(Path(facegeom.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONPATH": folder}
    )
    assert done.stdout.strip() == "[]"


INCLUDE = re.compile(r'^\s*#\s*include\s+[<"]([^>"]+)[>"]', re.MULTILINE)


def test_the_core_includes_neither_python_nor_bindings():
    files = [*(ROOT / "cpp" / "facegeom").rglob("*.h"), *(ROOT / "cpp" / "facegeom").rglob("*.cpp")]
    assert files
    for path in files:
        for name in INCLUDE.findall(path.read_text(encoding="utf-8")):
            # A standard header has no folder and no suffix.
            assert name.startswith(("facegeom/", "Eigen/")) or re.fullmatch(r"[a-z_]+", name), f"{path.name}: {name}"


def test_bindings_include_pybind_h_first():
    files = list((ROOT / "cpp" / "bindings").glob("*.cpp"))
    assert files
    for path in files:
        assert INCLUDE.findall(path.read_text(encoding="utf-8"))[0] == "pybind.h", path.name
