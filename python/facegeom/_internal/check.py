"""Input validation: the only place where arguments from callers are checked and converted."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import numpy.typing as npt

from facegeom._internal.arrays import BoolArray, ByteArray, FloatArray, IntArray

MAX_DIMENSION = 8
"""Largest dimension of points and embeddings that the trees of the C++ core support."""

MAX_MAGNITUDE = 1e30
"""Largest magnitude of the elements of a float array: the products that the C++ core forms are then finite."""

MAX_NUMBER = 1e100
"""Largest magnitude of a single number, such as an option."""

MAX_COUNT = 2**31 - 1
"""Largest count, unless a function states another limit."""

MAX_VERTICES = 2**28
"""Largest number of vertices where it is given as a number."""

MAX_PIXELS = 2**28
"""Largest number of pixels of an image that a function creates: 16,384 squared."""


def float_array(value: Any, name: str, shape: tuple[int | None, ...], *, allow_nan: bool = False) -> FloatArray:
    """Return `value` as an aligned, C-contiguous float64 array of `shape` (None: any length), all within 1e30 of 0.

    Raises ValueError or TypeError with the argument's name, what was expected and what was given. All functions of this
    module do the same.
    """
    try:
        array = np.asarray(value)
    except ValueError as error:
        raise ValueError(f"{name} must be an array of shape {_format_shape(shape)}, got a ragged sequence") from error
    if array.dtype.kind not in "fiu":
        raise TypeError(f"{name} must hold numbers, got dtype {array.dtype}")
    _check_shape(array, name, shape)
    with np.errstate(over="ignore"):  # of numbers longer than 64 bits
        result = _aligned(np.ascontiguousarray(array, dtype=np.float64))
    if not allow_nan:
        check_magnitude(result, name)
    return result


def check_magnitude(array: FloatArray, name: str) -> None:
    """Raise ValueError unless all elements are finite and within `MAX_MAGNITUDE` of 0."""
    # NaN makes both comparisons false.
    if array.size and not (array.min() >= -MAX_MAGNITUDE and array.max() <= MAX_MAGNITUDE):
        if not np.isfinite(array).all():
            raise ValueError(f"{name} must be finite, got NaN or infinity")
        raise ValueError(f"{name} must lie within {MAX_MAGNITUDE:g} of 0, got {np.abs(array).max():g}")


def points(value: Any, name: str, count: int | None = None) -> FloatArray:
    """Return `value` as points or embeddings, a (count, d) float64 array with d from 1 to `MAX_DIMENSION`."""
    array = float_array(value, name, (count, None))
    if not 1 <= array.shape[1] <= MAX_DIMENSION:
        raise ValueError(f"{name} must have shape (n, d) with d in [1, {MAX_DIMENSION}], got {array.shape}")
    return array


def bool_array(value: Any, name: str, shape: tuple[int | None, ...]) -> BoolArray:
    """Return `value` as a C-contiguous bool array of `shape`."""
    array = np.asarray(value)
    if array.dtype != np.bool_:
        raise TypeError(f"{name} must be a bool array, got dtype {array.dtype}")
    _check_shape(array, name, shape)
    return np.ascontiguousarray(array)


def index_array(value: Any, name: str, shape: tuple[int | None, ...], upper: int) -> IntArray:
    """Return `value` as a C-contiguous int64 array of `shape` with every entry in [0, upper)."""
    array = np.asarray(value)
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name} must hold integers, got dtype {array.dtype}")
    _check_shape(array, name, shape)
    result = _aligned(np.ascontiguousarray(array, dtype=np.int64))
    # One pass: reinterpreted as unsigned integers, negative indices are very large numbers.
    if result.size and int(result.view(np.uint64).max()) >= upper:
        bad = int(result.min()) if result.min() < 0 else int(result.max())
        raise ValueError(f"{name} must lie in [0, {upper}), got {bad}")
    return result


def slots(value: Any, name: str) -> npt.NDArray[np.int32]:
    """Return `value` as a one-dimensional, C-contiguous int32 array, as a sparse matrix has."""
    array = np.asarray(value)
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name} must hold integers, got dtype {array.dtype}")
    _check_shape(array, name, (None,))
    if array.dtype != np.int32 and array.size and not (array.min() >= 0 and array.max() <= MAX_COUNT):
        raise ValueError(f"{name} must lie in [0, {MAX_COUNT}]")
    return _aligned(np.ascontiguousarray(array, dtype=np.int32))


def vertices(value: Any, name: str = "V") -> FloatArray:
    """Return `value` as vertex positions, an (n, 3) float64 array."""
    return float_array(value, name, (None, 3))


def faces(value: Any, vertex_count: int, name: str = "F") -> IntArray:
    """Return `value` as triangles, an (m, 3) int64 array of indices less than `vertex_count`."""
    return index_array(value, name, (None, 3), vertex_count)


def mesh(V: Any, F: Any) -> tuple[FloatArray, IntArray]:
    """Return `V` as vertex positions (n, 3) and `F` as triangles (m, 3) with indices less than n."""
    V = vertices(V)
    return V, faces(F, len(V))


def columns(value: Any, name: str, count: int) -> tuple[FloatArray, tuple[int, ...]]:
    """Return `value` of shape (count,) or (count, k) as a (count, k) array, and its original shape."""
    array = np.asarray(value)
    checked = float_array(array, name, (count, None)[: max(1, array.ndim)])
    return checked[:, None] if checked.ndim == 1 else checked, checked.shape


def image_shape(value: Any, name: str = "shape") -> tuple[int, int]:
    """Return `value` as a pair (height, width) of integers, both at least 1, with at most `MAX_PIXELS` pixels."""
    try:
        height, width = (operator.index(v) for v in value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be (height, width), two integers, got {value!r}") from error
    if height < 1 or width < 1:
        raise ValueError(f"{name} must be at least (1, 1), got {(height, width)}")
    if height * width > MAX_PIXELS:
        raise ValueError(f"{name} must have at most {MAX_PIXELS} pixels, got {height} x {width}")
    return height, width


def rgb_image(value: Any, name: str = "image") -> ByteArray:
    """Return `value` as a C-contiguous (h, w, 3) uint8 array, channels in the order red, green, blue."""
    array = np.asarray(value)
    if array.dtype != np.uint8:
        raise TypeError(f"{name} must be an (h, w, 3) uint8 RGB array, got dtype {array.dtype}")
    if array.ndim != 3 or array.shape[2] != 3 or 0 in array.shape:
        raise ValueError(f"{name} must be an (h, w, 3) uint8 RGB array, got shape {array.shape}")
    return np.ascontiguousarray(array)


def box(value: Any, name: str = "box") -> FloatArray:
    """Return the first four numbers of `value` as (x0, y0, x1, y1), x0 < x1 and y0 < y1; a fifth, the score, is
    dropped.
    """
    sides = float_array(value, name, (None,))
    if len(sides) not in (4, 5) or sides[2] <= sides[0] or sides[3] <= sides[1]:
        raise ValueError(f"{name} must be (x0, y0, x1, y1) with x0 < x1 and y0 < y1, got {tuple(sides.tolist())}")
    return sides[:4]


def positive(value: Any, name: str, *, zero: bool = False, infinite: bool = False) -> float:
    """Return `value` as a finite float above 0; `zero` also allows 0, `infinite` also allows infinity."""
    if infinite and isinstance(value, (float, np.floating)) and value == np.inf:
        return float("inf")
    number = _number(value, name)
    if number < 0 or (number == 0 and not zero):
        raise ValueError(f"{name} must be {'at least 0' if zero else 'above 0'}, got {value!r}")
    return number


def in_range(value: Any, name: str, low: float, high: float) -> float:
    """Return `value` as a float in the closed interval [low, high]."""
    number = _number(value, name)
    if not low <= number <= high:
        raise ValueError(f"{name} must lie in [{low}, {high}], got {value!r}")
    return number


def count(value: Any, name: str, least: int = 0, most: int = MAX_COUNT) -> int:
    """Return `value` as an int from `least` to `most`."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name} must be an integer, got {type(value).__name__}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}")
    if value > most:
        raise ValueError(f"{name} must be at most {most}, got {value}")
    return int(value)


def flag(value: Any, name: str) -> bool:
    """Return `value` as a bool; only bool and numpy.bool are accepted."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False, got {type(value).__name__}")
    return bool(value)


def choice(value: Any, name: str, allowed: tuple[str, ...]) -> str:
    """Return `value` if it is one of `allowed`."""
    if not isinstance(value, str) or value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {value!r}")
    return str(value)


def _number(value: Any, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"{name} must be a number, got {type(value).__name__}")
    try:
        number = float(value)
    except OverflowError:
        number = np.inf if value > 0 else -np.inf
    if not np.isfinite(number):
        raise ValueError(f"{name} must be finite, got {_abbreviated(value)}")
    if abs(number) > MAX_NUMBER:
        raise ValueError(f"{name} must lie within {MAX_NUMBER:g} of 0, got {number:g}")
    return number


def _abbreviated(value: Any) -> str:
    """Return the representation of a number without the hundreds of digits that an int may have."""
    return f"an integer of {value.bit_length()} bits" if isinstance(value, int) else repr(value)


def _aligned(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return an array, or its copy where its elements are not aligned in memory, as in a view of a file's bytes.

    An array of one row is contiguous with a negative stride, too, which the C++ core does not accept.
    """
    return array if array.flags.aligned and min(array.strides, default=0) >= 0 else array.copy()


def _check_shape(array: npt.NDArray[Any], name: str, shape: tuple[int | None, ...]) -> None:
    if array.ndim != len(shape) or any(
        want is not None and want != have for want, have in zip(shape, array.shape, strict=True)
    ):
        raise ValueError(f"{name} must have shape {_format_shape(shape)}, got {array.shape}")


def _format_shape(shape: tuple[int | None, ...]) -> str:
    return "(" + ", ".join("any" if s is None else str(s) for s in shape) + ("," if len(shape) == 1 else "") + ")"
