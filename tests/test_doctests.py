"""The examples in the docstrings of every module run and give the results that they show."""

import doctest
import importlib
from pathlib import Path

import pytest

import facegeom
import facegeom.geometry

PACKAGE = Path(facegeom.__file__).parent
MODULES = sorted(
    ".".join(["facegeom", *path.relative_to(PACKAGE).with_suffix("").parts]).removesuffix(".__init__")
    for path in PACKAGE.rglob("*.py")
    if path.name != "__main__.py"
)
OPERATORS = {getattr(facegeom.geometry, name).__module__ for name in facegeom.geometry.__all__}


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples(name):
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("facegeom"):
            raise
        pytest.skip(f"needs {error.name}, which pip install 'facegeom[train]' installs")
    found = doctest.testmod(module)
    assert found.failed == 0
    if name in OPERATORS:
        assert found.attempted > 0, f"{name} has no example"
