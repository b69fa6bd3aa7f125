"""Every public operator says in one sentence what is wrong with its input.

The rows come from the modules bad_input_*.py beside this file, one list ROWS each:
(name in facegeom.geometry, callable, its arguments, the exception, a regular expression that its message matches).
"""

import importlib
import inspect
from pathlib import Path

import pytest

from facegeom import geometry

MODULES = [importlib.import_module(path.stem) for path in sorted(Path(__file__).parent.glob("bad_input_*.py"))]
ROWS = [row for module in MODULES for row in module.ROWS]


def is_operator(value):
    """Whether a public name computes something: a function, or a class that takes arrays and is no record."""
    is_record = inspect.isclass(value) and (hasattr(value, "_fields") or hasattr(value, "__dataclass_fields__"))
    is_error = inspect.isclass(value) and issubclass(value, BaseException)
    return callable(value) and not is_record and not is_error


def test_every_public_operator_has_a_row():
    operators = {name for name in geometry.__all__ if is_operator(getattr(geometry, name))}
    assert operators
    assert operators - {row[0] for row in ROWS} == set(), "operators without a row in tests/bad_input_*.py"


def test_every_row_names_a_public_operator():
    assert {row[0] for row in ROWS} <= set(geometry.__all__)


@pytest.mark.parametrize(
    ("call", "arguments", "error", "words"),
    [row[1:] for row in ROWS],
    ids=[f"{row[0]}: {row[4]}" for row in ROWS],
)
def test_refuses(call, arguments, error, words):
    with pytest.raises(error, match=words) as caught:
        call(*arguments)
    assert type(caught.value) is error
    assert "\n" not in str(caught.value)
