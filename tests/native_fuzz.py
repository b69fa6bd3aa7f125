"""Call every native function many times with damaged arguments, and report each call that does not end as it should.

    python tests/native_fuzz.py --calls 20000 --seed 0

A call must return finite arrays, or raise ValueError, TypeError or FacegeomError with one line; it must not warn,
change its arguments or take longer than a few seconds. A crash ends the process: the number of the call is written to
`--log` before each call, and `--first N --calls 1` repeats it.
"""

import argparse
import contextlib
import os
import signal
import sys
import time
import traceback
import warnings

import numpy as np

import facegeom
from native_cases import CORE, COUNTS, PUBLIC

LIMIT_S = 10.0
"""Longest processor time of a call in seconds; usual calls take milliseconds."""

REFUSALS = (ValueError, TypeError, facegeom.FacegeomError)

VALUES = [
    0.0,
    -0.0,
    1.0,
    np.nan,
    np.inf,
    -np.inf,
    *(sign * value for sign in (1, -1) for value in (5e-324, 1e-300, 1e-155, 1e-77, 1e-39, 1e-16)),
    *(sign * value for sign in (1, -1) for value in (1e16, 9e29, 1e30, 1e31, 1e39, 1e77, 1e154, 1e300, 1.7e308)),
]
NUMBERS = [
    *VALUES,
    2**31,
    2**63,
    2**64,
    10**400,
    -1,
    0,
    1,
    3,
    True,
    None,
    "1",
    1 + 1j,
    np.float32(2),
    np.int8(3),
    [1.0],
]
COUNT_NUMBERS = [number for number in NUMBERS if not (isinstance(number, int) and 100 < number < 2**31)]
SHAPES = [(0, 0), (1, 2**62), (2**32, 2**32), (1e300, 4), (4, np.inf), (np.nan, 4), (4.0, 4.0), (-1, 4), (3,), None, 7]


class TooLong(Exception):
    """A call has used more than `LIMIT_S` of processor time."""


def damaged_values(rng, array):
    """Return an array of numbers with damaged values, in the same shape."""
    out = array.astype(np.float64)
    if not out.size:
        return out
    how = rng.integers(5)
    if how == 0:
        places = rng.integers(out.size, size=int(rng.integers(1, 4)))
        out.reshape(-1)[places] = rng.choice(VALUES, len(places))
    elif how == 1:
        with np.errstate(over="ignore", under="ignore"):
            out *= 10.0 ** float(rng.integers(-320, 308))
    elif how == 2:
        out[...] = rng.choice(VALUES)
    elif how == 3:
        out[rng.integers(len(out), size=len(out))] = out[rng.integers(len(out), size=len(out))]
    else:
        with np.errstate(over="ignore", under="ignore"):
            out *= 10.0 ** rng.integers(-200, 200, size=out.shape).astype(float)
    return out


def damaged_indices(rng, array):
    """Return an array of indices with damaged values, in the same shape."""
    out = np.array(array, np.int64)
    if not out.size:
        return out
    how = rng.integers(4)
    flat = out.reshape(-1)
    top = int(out.max())
    if how == 0:
        far = [-1, min(top + 1, 2**63 - 1), 2**31, 2**62, -(2**63), 2**63 - 1]
        flat[rng.integers(out.size)] = far[rng.integers(len(far))]
    elif how == 1:
        flat[...] = rng.integers(0, max(0, top), size=out.size, endpoint=True)
    elif how == 2:
        flat[...] = rng.integers(0, max(0, top), endpoint=True)
    elif out.ndim == 2:
        out[:, 0] = 0  # every triangle at one vertex
    return out


def misaligned(array):
    """Return a C-contiguous copy whose elements lie at odd addresses."""
    raw = np.empty(array.nbytes + 1, np.uint8)
    out = raw[1:].view(array.dtype).reshape(array.shape) if array.nbytes else array
    out[...] = array
    return out


def damaged_layout(rng, array):
    """Return the same values in another memory layout or number type."""
    with np.errstate(all="ignore"):
        choices = [
            lambda: misaligned(array),
            lambda: np.repeat(array, 2, axis=0)[::2],
            lambda: np.asfortranarray(array),
            lambda: array[::-1],
            lambda: array.astype(array.dtype.newbyteorder()),
            lambda: array.astype(np.float32),
            lambda: array.astype(np.float16),
            lambda: array.astype(np.longdouble),
            lambda: array.astype(np.int32),
            lambda: array.astype(np.uint64),
            lambda: array.astype(object),
            lambda: array.astype(str),
            lambda: array.tolist(),
            lambda: np.ma.masked_array(array),
        ]
        return choices[rng.integers(len(choices))]()


def damaged_shape(rng, array):
    """Return an array of another shape."""
    choices = [
        lambda: array[:0],
        lambda: array[:-1],
        lambda: array.reshape(-1),
        lambda: array[None],
        lambda: array.T,
        lambda: array[..., :1],
        lambda: np.concatenate([array, array]),
        lambda: np.zeros((3, 0), array.dtype),
        lambda: np.zeros((0, 2**40), array.dtype),
        lambda: np.broadcast_to(array.reshape(-1)[:1], array.shape) if array.size else array,
    ]
    return choices[rng.integers(len(choices))]()


def damaged(rng, name, value):
    """Return a damaged copy of one argument."""
    if isinstance(value, np.ndarray) and value.dtype.kind in "fiub" and rng.integers(12):
        if value.dtype.kind == "b":
            return damaged_layout(rng, value) if rng.integers(2) else damaged_shape(rng, value)
        how = rng.integers(4)
        if how <= 1:
            return damaged_indices(rng, value) if value.dtype.kind in "iu" else damaged_values(rng, value)
        return damaged_layout(rng, value) if how == 2 else damaged_shape(rng, value)
    if isinstance(value, tuple):
        return SHAPES[rng.integers(len(SHAPES))]
    pool = COUNT_NUMBERS if name in COUNTS else NUMBERS
    return pool[rng.integers(len(pool))]


def make_call(number, seed):
    """Return the name, the callable and the arguments of a call; the same numbers give the same call."""
    rng = np.random.default_rng([seed, number])
    table = CORE if number % 4 == 3 else PUBLIC
    name = list(table)[(number // 4) % len(table)] if table is CORE else list(table)[number % len(table)]
    call, arguments = table[name](rng)
    for _ in range(int(rng.integers(4))):
        argument = list(arguments)[rng.integers(len(arguments))]
        if argument.startswith("ids") and arguments[argument] is None:
            continue
        arguments[argument] = damaged(rng, argument, arguments[argument])
    return ("_core." if table is CORE else "") + name, call, arguments


def arrays_in(value):
    """Yield all arrays of a result."""
    if isinstance(value, np.ndarray):
        yield value
    elif isinstance(value, (tuple, list)):
        for part in value:
            yield from arrays_in(part)


def fault_of(name, call, arguments):
    """Return what is wrong with a call, or None."""
    before = {key: value.tobytes() for key, value in arguments.items() if isinstance(value, np.ndarray)}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            result = call(**arguments)
    except REFUSALS as error:
        return (
            f"message of several lines: {error!s:.300}"
            if "\n" in str(error) and not name.startswith("_core.")
            else None
        )
    except TooLong:
        return f"longer than {LIMIT_S} s"
    except Exception:
        return traceback.format_exc(limit=-3)
    if not name.endswith("rasterize"):  # NaN where there is no surface
        for array in arrays_in(result):
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                return "a result that is not finite"
    changed = [key for key, value in before.items() if arguments[key].tobytes() != value]
    return f"changed {changed}" if changed else None


def stop_long_call(number, frame):
    raise TooLong


def description(arguments):
    """Return the arguments in one line each, without the data of arrays."""
    return "\n".join(
        f"  {key}: {value.dtype} {value.shape}" if isinstance(value, np.ndarray) else f"  {key}: {value!r:.200}"
        for key, value in arguments.items()
    )


def run(first, calls, seed, log=None):
    """Make the calls; print and count the faults."""
    limited = hasattr(signal, "setitimer")
    if limited:
        signal.signal(signal.SIGPROF, stop_long_call)
    faults = 0
    for number in range(first, first + calls):
        name, call, arguments = make_call(number, seed)
        if log is not None:
            os.pwrite(log, f"{number} {name}".ljust(60).encode(), 0)
        if limited:
            signal.setitimer(signal.ITIMER_PROF, LIMIT_S)
        try:
            fault = fault_of(name, call, arguments)
        finally:
            if limited:
                signal.setitimer(signal.ITIMER_PROF, 0)
        if fault is not None:
            faults += 1
            print(f"call {number}, {name}: {fault}\n{description(arguments)}", flush=True)
    return faults


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=2000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--log", help="file for the number of the current call")
    options = parser.parse_args()
    start = time.perf_counter()
    with contextlib.ExitStack() as stack:
        log = None
        if options.log:
            log = os.open(options.log, os.O_CREAT | os.O_RDWR)
            stack.callback(os.close, log)
        faults = run(options.first, options.calls, options.seed, log)
    print(f"{options.calls} calls, {faults} faults, {time.perf_counter() - start:.1f} s")
    sys.exit(faults > 0)


if __name__ == "__main__":
    main()
