"""Small tasks in place of the reconstruction, for the tests of batches; workers import this module."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facegeom import NoFaceFound, WeightsError
from facegeom._internal.files import write_bytes
from facegeom.batch.rows import photo_stamp
from facegeom.batch.tasks import ending_the_batch, face_file


def act(word: str) -> Any:
    """Do what a word says: raise, end the process, or return something."""
    if word == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    elif word == "abort":
        os.write(2, b"terminate called after throwing an instance of 'std::length_error'\n")
        os._exit(3)
    elif word == "leave":
        sys.exit("leave")
    elif word == "sleep":
        time.sleep(60)
    elif word == "memory":
        raise MemoryError
    elif word == "torch memory":
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes")
    elif word == "called":
        raise subprocess.CalledProcessError(1, ["gs", "-q"])
    elif word == "unicode":
        "\udcff".encode()
    elif word == "recursion":
        act(word)
    elif word == "no face":
        raise NoFaceFound("no face was found in the photo")
    elif word == "weights":
        raise WeightsError("the weights of facevision are missing")
    elif word == "unpicklable":
        return lambda: None
    elif word == "print":
        print("a line of a library")
        os.write(1, b"and one of C\n")
    elif word == "pid":
        return os.getpid()
    elif word == "threads":
        return {name: os.environ.get(name) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    elif word.startswith("wait"):
        time.sleep(float(word.split()[1]))
    return word


@dataclass(frozen=True)
class ActTask:
    """Do what each job says."""

    preparation: str = "nothing"

    def prepare(self) -> None:
        """Do what the preparation says."""
        act(self.preparation)

    def __call__(self, job: Any) -> Any:
        """Do what the job says."""
        return act(job) if isinstance(job, str) else job


@dataclass(frozen=True)
class FakeSave:
    """Like `SaveTask`, but the photo is a text file: its last line says what to do, and it is copied to the mesh."""

    reconstruct: Any
    neutral: bool = False
    preview: bool = False
    keep: bool = False

    def prepare(self) -> None:
        """Do nothing."""

    def __call__(self, job: Any) -> list[dict[str, Any]]:
        """Write the mesh files and return the rows."""
        stamp = photo_stamp(job.photo)
        content = Path(job.photo).read_bytes()
        word = content.decode().strip().splitlines()[-1]
        act(word)
        faces = int(word.split()[1]) if word.startswith("faces") else 1
        rows = []
        for number in range(faces):
            mesh = face_file(job.mesh, number) if self.reconstruct.all_faces else job.mesh
            with ending_the_batch():
                if word == "full":
                    raise OSError(28, "No space left on device", str(mesh))
                write_bytes(mesh, content)
            rows.append(face_values(job.photo, number, faces, stamp, mesh))
        return rows


def face_values(photo: Any, number: int, count: int, stamp: Any, mesh: Any) -> dict[str, Any]:
    """Return the row of a face with values of every kind."""
    return {
        "photo": os.path.abspath(photo),
        "face": number,
        "rows": count,
        "stamp": stamp,
        "error_class": None,
        "error": None,
        "box": [10.0, 20.5, 30.0, 40.0],
        "vertices": 4,
        "faces": 2,
        "score": 0.5,
        "crop": [0.0, 0.0, 50.0, 50.0],
        "pose": {"yaw": 1.0, "pitch": -2.0, "roll": 3.0},
        "camera": {
            "rotation": [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
            "scale": 2.0,
            "translation": [1.0, 2.0],
            "opencv": [[1.0, 0.0, 0.0, 0.0]] * 3,
            "opengl": [[1.0, 0.0, 0.0, 0.0]] * 4,
        },
        "blendshapes": {"jawOpen": 0.25, "cheekPuff": 0.0},
        "identity": [0.5, -0.5],
        "landmarks": [[1.0, 2.0, 3.0]] * 68,
        "landmarks468": [[1.0, 2.0, 3.0]] * 468,
        "milliseconds": {"network": 50.0},
        "versions": {"facegeom": "0"},
        "output": os.path.abspath(mesh),
        "files": {os.path.abspath(mesh): os.path.getsize(mesh)},
    }
