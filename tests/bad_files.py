"""A collection of bad pictures, meshes and options, made by code, and a worker that tries them one after the other.

`run` starts worker processes and returns what happened to each case. A case that hangs, or that ends the process, is
reported, and the next worker goes on behind it. `python tests/bad_files.py` is the worker.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import os
import queue
import random
import struct
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from bad_meshes import base_meshes, crafted_meshes
from bad_pictures import base_pictures, crafted_pictures, encoded

LIMIT_S = 20.0
"""Longest time of the processor for a case; other programs on the machine do not count."""

LIMIT_BYTES = 1.5e9
"""Largest memory of the worker process."""

SEED = 20261129

Call = Callable[[], Any]


@dataclass
class Report:
    """What happened to a case: `outcome` is the class of the exception, "none", "hang" or "crash"."""

    name: str
    outcome: str
    sentence: str = ""
    seconds: float = 0.0
    peak: float = 0.0
    printed: str = ""

    def faults(self) -> list[str]:
        """Return what is wrong with the reaction to the bad input, in words."""
        found = []
        allowed = ("none", "FileNotFoundError", "ValueError", "TypeError", *FACEGEOM_ERRORS)
        if self.outcome not in allowed:
            found.append(f"ended with {self.outcome}: {self.sentence}")
        if self.outcome != "none" and (not self.sentence or len(self.sentence.splitlines()) > 1):
            found.append(f"the message is not one sentence: {self.sentence!r}")
        if len(self.sentence) > 600:
            found.append(f"the message has {len(self.sentence)} characters")
        if self.seconds > LIMIT_S:
            found.append(f"took {self.seconds:.0f} s")
        if self.peak > LIMIT_BYTES:
            found.append(f"took {self.peak / 1e9:.2f} GB")
        if self.printed:
            found.append(f"printed {self.printed[:300]!r}")
        return found


FACEGEOM_ERRORS = ("FacegeomError", "ImageError", "PixelLimitError", "NoFaceFound", "OutputError", "WeightsError")


# ---- random damage ---------------------------------------------------------------------------------------------------


def mutated(content: bytes, rng: random.Random) -> bytes:
    """Return the content with random damage: flipped bytes, a part that is zeroed, doubled, removed or moved, a cut."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        if not data:
            break
        place, length = rng.randrange(len(data)), rng.choice((1, 2, 4, 4, 8, 64))
        match rng.randrange(7):
            case 0:
                data[place] ^= 1 << rng.randrange(8)
            case 1:
                data[place : place + length] = rng.randbytes(length)
            case 2:
                data[place : place + length] = rng.choice((b"\0", b"\xff", b"\x7f", b"\x80")) * length
            case 3:
                data[place:place] = data[place : place + length]
            case 4:
                del data[place : place + length]
            case 5:
                number = rng.choice((0, 1, 255, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1))
                data[place : place + 4] = struct.pack(rng.choice("<>") + "I", number)
            case 6:
                del data[rng.randrange(len(data)) :]
    return bytes(data)


# ---- other sources and options ---------------------------------------------------------------------------------------


def special_files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Make files that are no regular files, are sparse, or cannot be opened; yield their names and paths."""
    yield "folder", folder
    yield "missing", folder / "missing"
    yield "null character", Path("null\0character")
    yield "long name", folder / ("x" * 300)
    yield "line break", folder / "two\nlines"
    if hasattr(os, "mkfifo"):
        os.mkfifo(folder / "pipe")
        yield "fifo", folder / "pipe"
        for device in ("zero", "null", "urandom", "full", "tty", "stdin"):
            yield device, Path("/dev") / device
        yield "memory", Path("/proc/self/mem")
        yield "kernel", Path("/proc/kmsg")
        (folder / "loop").symlink_to(folder / "loop")
        yield "loop", folder / "loop"
    for name, start in (("zeros", b""), ("png", b"\x89PNG\r\n\x1a\n"), ("jpeg", b"\xff\xd8\xff"), ("ply", b"ply\n")):
        with open(folder / f"sparse {name}", "wb") as file:
            file.write(start)
            file.truncate(2**40)
        yield f"sparse {name}", folder / f"sparse {name}"


class Endless(io.RawIOBase):
    """A file object without an end."""

    def read(self, size: int = -1) -> bytes:
        return bytes(size)


class Broken:
    """File objects whose `read` raises or returns something else."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def read(self, _: int = -1) -> Any:
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer


def objects() -> dict[str, Any]:
    """Return what is no photo, by name."""
    import torch

    good = np.zeros((32, 32, 3), np.uint8)
    found: dict[str, Any] = {
        "none": None, "number": 5, "list": [[0, 1]], "dict": {}, "set": set(),
        "class": int, "float": 1.5, "text": "a b c",
        "empty text": "", "empty": b"", "array 0": np.float32(1), "array of none": np.array(None),
        "text file": io.StringIO("x"), "endless": Endless(),
        "closed": Broken(ValueError("I/O operation on closed file")),
        "broken": Broken(OSError(5, "Input/output error")), "reads text": Broken("text"), "reads none": Broken(None),
        "reads number": Broken(7), "masked": np.ma.masked_array(good.astype(float), mask=True),
        "batch": torch.zeros(2, 3, 32, 32), "sparse": torch.zeros(32, 32).to_sparse(), "bool": torch.ones(32, 32) > 0,
        "complex": torch.zeros(32, 32, dtype=torch.complex64), "meta": torch.zeros(3, 32, 32, device="meta"),
        "integers": torch.zeros(3, 32, 32, dtype=torch.int64), "infinite": torch.full((3, 32, 32), float("inf")),
        "pillow empty": Image.new("RGB", (0, 0)), "pillow lab": Image.new("LAB", (32, 32)),
        "pillow float": Image.fromarray(np.full((32, 32), np.nan, np.float32)),
    }  # fmt: skip
    for shape in (
        (),
        (0,),
        (9,),
        (0, 0),
        (0, 9, 3),
        (9, 0, 3),
        (32, 32, 2),
        (3, 32, 32),
        (1, 32, 32, 3),
        (15, 99, 3),
        (1, 2, 3, 4, 5),
    ):
        found[f"shape {shape}"] = np.zeros(shape, np.uint8)
    for kind in ("i1", "i8", "u4", "c8", "O", "U3", "M8[s]", "?", "V4", "f2", "f8"):
        found[f"dtype {kind}"] = np.full((32, 32, 3), 7).astype(kind) if kind != "V4" else np.zeros((32, 32), "V4")
    for value in (np.nan, np.inf, -1.0, 1.0001, 255.0, 1e300):
        found[f"value {value}"] = np.full((32, 32, 3), value)
    return found


BOXES: list[Any] = [
    (0, 0, 1e300, 1e300), (-1e300, -1e300, 1e300, 1e300), (0, 0, 1e-300, 1e-300), (5, 5, 5, 5), (9, 9, 3, 3),
    (0, 0, np.nan, 5),
    (0, 0, np.inf, 5), (1, 2, 3), (1, 2, 3, 4, 5, 6), "box", b"abcd", [[0, 0, 5, 5]], (0, 0, "5", 5), 7, True, {},
    (1e15, 1e15, 2e15, 2e15),
    (1e8, 1e8, 1e8 + 1, 1e8 + 1), (0, 0, 1e-9, 1e-9), (-5e5, -5e5, -4e5, -4e5), (0, 0, 1e7, 1), (0, 0, 1j, 5),
    (None, 0, 5, 5),
]  # fmt: skip

OPTIONS: dict[str, list[Any]] = {
    "device": [None, "", "gpu", "cuda:99", "cuda:x", 5, "cpu:7:7", "cpu\n", b"cpu", "meta"],
    "pipeline": [None, "", "pix", [], {}, 5, "pix2vertex ", "../x"],
    "face_index": [-1, 10**9, 10**30, True, "0", 1.0, None],
    "texture": [0, -1, 15, 2049, 10**9, 10**30, "256", 2.5, True, [256]],
    "head": [None, "yes", 1, [], np.array([1, 2])],
    "max_pixels": [0, -1, None, "many", 1.5, True, 10],
    "detector": [None, "", "haar", [], 5],
    "denoise": [None, "", "on", [], 2],
    "min_face": [0, -1, np.nan, np.inf, 1e300, 1e-300, "x", True],
    "backend": [None, "", "tf", [], 5],
    "expression": [None, "", "frozen", [], 5],
}

COMMANDS: list[list[str]] = [
    [], ["nothing"], ["reconstruct"], ["reconstruct", "PHOTO"], ["reconstruct", "PHOTO", "-o", "x.fbx"],
    ["reconstruct", "missing.jpg", "-o", "x.glb"], ["reconstruct", "FOLDER/pipe", "-o", "x.glb"],
    ["reconstruct", "/dev/zero", "-o", "x.glb"], ["reconstruct", "PHOTO", "-o", "x.glb", "--texture", "many"],
    ["reconstruct", "PHOTO", "-o", "x.glb", "--texture", "999999999"],
    ["reconstruct", "PHOTO", "-o", "x.glb", "--device", "gpu"],
    ["reconstruct", "PHOTO", "-o", "x.glb", "--pipeline", "none"],
    ["reconstruct", "PHOTO", "-o", "x.glb", "--max-pixels", "0"],
    ["reconstruct", "PHOTO", "-o", "x.glb", "--max-pixels", "99"], ["reconstruct", "PHOTO", "-o", "nowhere/\0/x.glb"],
    ["reconstruct", "PHOTO", "-o", "/proc/x.glb"], ["reconstruct", "PHOTO", "-o", "PHOTO"], ["evaluate"],
    ["evaluate", "x"],
    ["reconstruct", "PHOTO", "-o", "x.glb", "--box", "0,0,1e300,1e300"], ["reconstruct", "", "-o", "x.glb"],
]  # fmt: skip


def bad_arrays() -> Iterator[tuple[str, Call]]:
    """Yield constructions of meshes with bad arrays."""
    from facegeom import FaceMesh

    V, F = np.eye(3), np.array([[0, 1, 2]])
    for name, fields in {
        "no vertices": {"vertices": None, "faces": F}, "nan": {"vertices": V * np.nan, "faces": F},
        "index": {"vertices": V, "faces": F + 1}, "negative": {"vertices": V, "faces": F - 1},
        "quads": {"vertices": V, "faces": [[0, 1, 2, 0]]}, "floats": {"vertices": V, "faces": F * 1.0},
        "uv": {"vertices": V, "faces": F, "uv": V},
        "texture": {"vertices": V, "faces": F, "texture": np.zeros((4, 4, 3), np.uint8)},
        "colours": {"vertices": V, "faces": F, "colors": V},
        "regions": {"vertices": V, "faces": F, "regions": {"a": [1]}},
        "seen": {"vertices": V, "faces": F, "seen": [2, 2, 2]},
        "weights": {"vertices": V, "faces": F, "weights": {"a": 1}},
        "shapes": {"vertices": V, "faces": F, "blendshapes": {"a": V[:2]}}, "text": {"vertices": "abc", "faces": F},
    }.items():  # fmt: skip
        yield name, lambda fields=fields: FaceMesh(**fields)
    good = FaceMesh(V, F)
    for target, kind in itertools.product(
        ("x.fbx", "x", "nowhere/x.glb", "", None, 5, io.StringIO()), (None, "glb", "fbx")
    ):
        yield f"save {target} {kind}".replace("\n", " "), lambda target=target, kind=kind: good.save(target, kind)


def command(arguments: list[str], folder: Path, photo: Path) -> None:
    """Run the command line; raise what it prints as an error of the class that its exit code stands for."""
    from facegeom import FacegeomError
    from facegeom.cli import main

    replaced = [word.replace("PHOTO", str(photo)).replace("FOLDER", str(folder)) for word in arguments]
    out, err = io.StringIO(), io.StringIO()
    code: Any = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main(replaced)
        except SystemExit as error:
            code = error.code
    lines = err.getvalue().strip().splitlines()
    if code == 2:
        raise ValueError(lines[-1] if lines else "")
    if code:
        raise FacegeomError(" | ".join(lines))


# ---- the collection and its worker -----------------------------------------------------------------------------------


def cases(folder: Path) -> Iterator[tuple[str, Call]]:
    """Yield the cases: a name, and a function that tries the bad input. Files are written to the folder when needed."""
    from facegeom import FaceMesh, detect, load_image, reconstruct

    rng = random.Random(SEED)
    pictures, meshes = base_pictures(), base_meshes()
    for kind, bases, crafted, load in (
        ("picture", pictures, crafted_pictures(), load_image),
        ("mesh", meshes, crafted_meshes(), FaceMesh.load),
    ):
        files = [(f"{kind} {name}", name, content) for name, content in crafted.items()]
        for name, content in bases.items():
            shares = (0.02, 0.3, 0.6, 0.95) if kind == "picture" else (0.05, 0.3, 0.7, 0.97)
            files += [
                (f"{kind} cut at {share}: {name}", name, content[: int(share * len(content))]) for share in shares
            ]
            files += [(f"{kind} damage {number}: {name}", name, mutated(content, rng)) for number in range(6)]
        for label, name, content in files:
            yield label, lambda name=name, content=content, load=load: load(written(folder, name, content))
    special = folder / "special"
    special.mkdir()
    for name, path in special_files(special):
        yield f"file {name}", lambda path=path: load_image(path)
        for suffix in (".glb", ".ply") if name.startswith(("sparse", "fifo", "folder", "zero", "loop")) else ():
            linked = special / f"{name}{suffix}"
            linked.symlink_to(path)
            yield f"mesh file {name}{suffix}", lambda linked=linked: FaceMesh.load(linked)
    for name, thing in objects().items():
        yield f"object {name}", lambda thing=thing: load_image(thing)
    photo = np.full((64, 64, 3), 127, np.uint8)
    for box in BOXES:
        yield f"box {box}", lambda box=box: reconstruct(photo, box=box)
    for option, values in OPTIONS.items():
        for value in values:
            yield f"{option}={value!r}", lambda option=option, value=value: reconstruct(photo, **{option: value})
            if option in ("max_pixels", "detector", "min_face"):
                yield f"detect {option}={value!r}", lambda option=option, value=value: detect(photo, **{option: value})
    yield from bad_arrays()
    path = written(folder, "photo.png", encoded(Image.fromarray(photo), "png"))
    for arguments in COMMANDS:
        yield f"command {arguments}", lambda arguments=arguments: command(arguments, special, path)


def written(folder: Path, name: str, content: bytes) -> Path:
    """Write a file; return its path."""
    path = folder / name
    path.write_bytes(content)
    return path


def fuzzed(folder: Path, count: int) -> Iterator[tuple[str, Call]]:
    """Yield `count` cases with randomly damaged files, half of them pictures and half meshes."""
    from facegeom import FaceMesh, load_image

    rng = random.Random(SEED + 1)
    pictures, meshes = (list(files.items()) for files in (base_pictures(), base_meshes()))
    for number in range(count):
        files, load = ((pictures, load_image), (meshes, FaceMesh.load))[number % 2]
        name, content = rng.choice(files)
        content = mutated(content, rng)
        yield (
            f"fuzz {number}: {name}",
            lambda name=name, content=content, load=load: load(written(folder, name, content)),
        )


def peak_bytes() -> float:
    """Return the largest memory of this process, since the last call of `reset_peak` where the system can reset it."""
    with contextlib.suppress(OSError), open("/proc/self/status", encoding="ascii", errors="replace") as status:
        for line in status:
            if line.startswith("VmHWM"):
                return float(line.split()[1]) * 1024
    return 0.0


def reset_peak() -> None:
    with contextlib.suppress(OSError), open("/proc/self/clear_refs", "w", encoding="ascii") as file:
        file.write("5")


def attempt(name: str, call: Call) -> Report:
    """Try a case and report it; what it prints, also in libraries, is caught."""
    report = Report(name, "none")
    with tempfile.TemporaryFile() as printed:
        sys.stderr.flush()
        kept = os.dup(2)
        os.dup2(printed.fileno(), 2)
        reset_peak()
        start = time.process_time()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("always")
                call()
        except Exception as error:
            report.outcome, report.sentence = type(error).__name__, str(error)
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)
        report.seconds, report.peak = time.process_time() - start, peak_bytes()
        printed.seek(0)
        lines = printed.read().decode("utf-8", "replace").splitlines()
    # The messages of facegeom itself are logged; without a handler, Python prints them.
    report.printed = "\n".join(
        line for line in lines if not line.startswith(OWN_MESSAGES) and " refers to " not in line
    )
    return report


OWN_MESSAGES = ("the image: ", "/")


def worker(kind: str, start: int, step: int) -> None:
    """Try the cases `start`, `start + step`, ...; print a line for each, before and after it."""
    with tempfile.TemporaryDirectory() as folder:
        found = cases(Path(folder)) if kind == "cases" else fuzzed(Path(folder), int(kind))
        for index, (name, call) in enumerate(found):
            if index >= start and (index - start) % step == 0:
                print(json.dumps([index, name]), flush=True)
                print(json.dumps(asdict(attempt(name, call))), flush=True)


def run(kind: str = "cases", step: int = 1) -> list[Report]:
    """Try every `step`-th case of a collection ("cases", or a number of fuzzed files) in worker processes."""
    reports: list[Report] = []
    start = 0
    while True:
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        process = subprocess.Popen(
            [sys.executable, __file__, kind, str(start), str(step)],
            stdout=subprocess.PIPE, text=True, env=environment,
        )  # fmt: skip
        lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=_forward, args=(process, lines), daemon=True).start()
        current: tuple[int, str] | None = None
        while True:
            try:
                line = lines.get(timeout=6 * LIMIT_S if current is None else 3 * LIMIT_S)  # other work slows it down
            except queue.Empty:
                process.kill()
                outcome = "hang"
                break
            if not line:
                outcome = "crash"
                break
            content = json.loads(line)
            if isinstance(content, list):
                current = (content[0], content[1])
            else:
                reports.append(Report(**content))
                current = None
        code = process.wait()
        if current is None and code == 0:
            return reports
        if current is None:
            raise RuntimeError(f"the worker ended with code {code} between two cases, after {len(reports)}")
        reports.append(Report(current[1], outcome, f"exit code {code}"))
        start = current[0] + step


def _forward(process: subprocess.Popen[str], lines: queue.Queue[str]) -> None:
    assert process.stdout is not None
    with process.stdout:
        for line in process.stdout:
            lines.put(line)
    lines.put("")


if __name__ == "__main__":
    worker(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
