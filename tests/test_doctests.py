"""The examples in the operators' docstrings run and are right."""

import doctest
import importlib
import pkgutil

import pytest

import facegeom.geometry

MODULES = [f"facegeom.geometry.{module.name}" for module in pkgutil.iter_modules(facegeom.geometry.__path__)]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted > 0
    assert result.failed == 0
