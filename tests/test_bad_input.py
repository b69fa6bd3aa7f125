"""Every public operator rejects invalid input with a one-line error message that names the argument.

The test cases are in the modules bad_input_*.py in this folder, in one list ROWS each. A row is
(name in facegeom.geometry, callable, its arguments, exception, regular expression for the message).
"""

import importlib
import inspect
from pathlib import Path

import pytest

from facegeom import geometry

MODULES = [importlib.import_module(path.stem) for path in sorted(Path(__file__).parent.glob("bad_input_*.py"))]
ROWS = [row for module in MODULES for row in module.ROWS]


def is_operator(value):
    """Return whether a public name is an operator: a function, or a class that is no result type and no exception."""
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
def test_invalid_input_is_rejected(call, arguments, error, words):
    with pytest.raises(error, match=words) as caught:
        call(*arguments)
    assert type(caught.value) is error
    assert "\n" not in str(caught.value)
