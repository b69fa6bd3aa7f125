"""A long batch whose processes are killed, and which must lose nothing.

    python tests/batch_survival.py ../shared/data/portraits/photos WORK --leave-out london --count 10000

Crops and mirror images of the photos in a folder are made in `WORK/photos`, and `facegeom reconstruct` makes their
meshes and a table. Meanwhile, at random moments, the command is killed by SIGKILL and started again, a worker is killed
by SIGKILL, and another worker gets a limit of its memory (RLIMIT_AS) that is below what it uses: five times each, or
`--rounds`. Then it is checked that the table has one row for each photo, that no mesh is missing, half-written or left
over, that no photo was done twice, that no photo was changed, and that the photos which the killed workers cost succeed
with `--retry-failed`. Arguments after `--` are passed to `facegeom reconstruct`. The figures are printed as JSON; the
exit code is 1 after any fault. The script needs Linux.
"""

import argparse
import collections
import hashlib
import json
import os
import random
import resource
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as parquet
from PIL import Image, ImageOps

from facegeom.batch.inputs import find_photos

PER_FOLDER = 1000  # photos in each subfolder
SHARE = (0.9, 1.0)  # width and height of a crop as shares of those of the photo
COSTS = ("WorkerDied", "MemoryError")  # error classes of the photos that killed workers cost
STILL_S = 900.0  # time in seconds without a finished photo after which the batch counts as hung


def main():
    """Run the batch, disturb it, check the results; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", type=Path, help="folder of portraits")
    parser.add_argument("work", type=Path, help="folder for photos, meshes and table")
    parser.add_argument("--count", type=int, default=1000, help="number of photos to make")
    parser.add_argument("--rounds", type=int, default=5, help="number of kills of each kind")
    parser.add_argument("--kinds", nargs="+", default=["main", "worker", "memory"], help="kinds of kills")
    parser.add_argument("--engine", choices=("local", "ray"), default="local")
    parser.add_argument("--leave-out", default="", help="name of a folder whose photos are not used")
    parser.add_argument("--seed", type=int, default=0)
    argv, _, rest = " ".join(sys.argv[1:]).partition(" -- ")
    args = parser.parse_args(argv.split())

    photos = make_photos(args)
    hashes = {path: sha256(path) for path in photos}
    run = Batch(args, rest.split())
    start = time.monotonic()
    run.disturbed(random.Random(args.seed))
    seconds = time.monotonic() - start
    rows = parquet.read_table(run.table).to_pylist()
    errors = collections.Counter(row["error_class"] for row in rows if row["error_class"])
    faults = run.faults(photos, rows)
    cost = sum(errors[name] for name in COSTS)
    if cost > len(run.kills) - run.kills.count("main"):
        faults.append(f"{cost} photos were lost by {run.kills.count('worker') + run.kills.count('memory')} kills")

    run.start("--retry-failed")
    run.process.wait()
    rows = parquet.read_table(run.table).to_pylist()
    after = collections.Counter(row["error_class"] for row in rows if row["error_class"])
    faults += [f"after --retry-failed: {fault}" for fault in run.faults(photos, rows, retried=sum(errors.values()))]
    faults += [f"after --retry-failed: {name}" for name in COSTS if after[name]]
    changed = [str(path) for path, before in hashes.items() if sha256(path) != before]
    faults += [f"photo changed: {path}" for path in changed]
    report = {
        "photos": len(photos),
        "rows": len(rows),
        "kills": dict(collections.Counter(run.kills)),
        "errors": dict(errors),
        "errors after --retry-failed": dict(after),
        "photos changed": len(changed),
        "seconds": round(seconds, 1),
        "photos a minute": round(60 * len(photos) / seconds, 1),
        "faults": faults[:20],
    }
    print(json.dumps(report, indent=2))
    return 1 if faults else 0


def make_photos(args):
    """Return the paths of `count` crops and mirror images, which are made if they do not exist."""
    sources = [found.path for found in find_photos(args.photos) if args.leave_out not in found.path.parts]
    made = []
    for number in range(args.count):
        path = args.work / "photos" / f"{number // PER_FOLDER:03d}" / f"{number:06d}.jpg"
        made.append(path.absolute())
        if path.exists():
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        chance = random.Random(f"{args.seed} {number}")
        with Image.open(sources[number % len(sources)]) as image:
            width, height = (round(side * chance.uniform(*SHARE)) for side in image.size)
            left, top = chance.randint(0, image.width - width), chance.randint(0, image.height - height)
            crop = image.convert("RGB").crop((left, top, left + width, top + height))
        (ImageOps.mirror(crop) if chance.random() < 0.5 else crop).save(path, quality=92)
    return made


class Batch:
    """The command, its outputs, and what is done to its processes."""

    def __init__(self, args, options):
        self.args = args
        self.out = args.work / "meshes"
        self.table = args.work / "table.parquet"
        self.journal = args.work / "table.parquet.jsonl"
        self.command = [
            *[sys.executable, "-P", "-m", "facegeom", "reconstruct", str(args.work / "photos"), "-o", str(self.out)],
            *["--table", str(self.table), "--engine", args.engine, *options],
        ]
        self.kills = []
        self.process = None
        self._position = self._rows = 0

    def start(self, *options):
        """Start the command; its output is appended to a file."""
        with open(self.args.work / "output.txt", "ab") as log:
            self.process = subprocess.Popen([*self.command, *options], stdout=log, stderr=log)

    def disturbed(self, chance):
        """Run the command until it ends by itself, and kill processes at random moments."""
        moments = sorted(
            (chance.uniform(0.03, 0.9) * self.args.count, kind)
            for kind in self.args.kinds
            for _ in range(self.args.rounds)
        )
        self.start()
        progress = time.monotonic(), 0
        while self.process.poll() is None:
            rows = self.recorded()
            if rows != progress[1]:
                progress = time.monotonic(), rows
            if time.monotonic() - progress[0] > STILL_S:
                self.process.kill()
                raise SystemExit(f"no photo was finished for {STILL_S} s, after {rows}")
            if moments and rows >= moments[0][0]:
                time.sleep(chance.uniform(0.0, 0.6))  # anywhere within a photo
                if self.kill(moments[0][1], chance):
                    self.kills.append(moments.pop(0)[1])
            time.sleep(0.1)
        if self.process.returncode not in (0, 1) or moments:
            raise SystemExit(f"the command ended with {self.process.returncode} before {moments}")

    def kill(self, kind, chance):
        """Disturb one process; return whether there was one."""
        if kind == "main":
            self.process.kill()
            self.process.wait()
            self.start()
            return True
        workers = self.workers()
        if not workers:
            return False
        worker = chance.choice(workers)
        try:
            if kind == "worker":
                os.kill(worker, signal.SIGKILL)
            else:
                pages = int(Path(f"/proc/{worker}/statm").read_text().split()[0])
                limit = pages * resource.getpagesize() // 2
                resource.prlimit(worker, resource.RLIMIT_AS, (limit, limit))
        except (ProcessLookupError, FileNotFoundError):
            return False
        return True

    def workers(self):
        """Return the process ids of the workers that have loaded the networks."""
        parents, found = {}, []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
                command = (folder / "cmdline").read_bytes()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if b"facegeom.batch.workers" in command or command.startswith(b"ray::_Actor"):
                found.append(int(folder.name))
        return [process for process in sorted(found) if self.process.pid in ancestors(process, parents)]

    def recorded(self):
        """Return the number of rows in the journal."""
        if self.journal.exists():
            size = self.journal.stat().st_size
            if size < self._position:  # an incomplete row was cut off
                self._position = self._rows = 0
            with open(self.journal, "rb") as stream:
                stream.seek(self._position)
                content = stream.read()
            self._position += len(content)
            self._rows += content.count(b"\n")
        return max(0, self._rows - 1)  # without the header

    def faults(self, photos, rows, retried=0):
        """Return what is wrong with table, journal and meshes, in words."""
        found = []
        named = [row["photo"] for row in rows]
        if sorted(named) != sorted(map(str, photos)):
            found.append(f"{len(named)} rows, {len(set(named))} photos of {len(photos)}")
        meshes = {row["mesh"] for row in rows if row["error"] is None}
        for row in rows:
            place = Path(row["photo"]).relative_to(self.args.work.absolute() / "photos")
            if row["error"] is None and row["mesh"] != str(self.out.absolute() / place.with_suffix(".glb")):
                found.append(f"wrong mesh in the table: {row['mesh']}")
        files = {
            str(path) for path in self.out.absolute().rglob("*") if path.is_file() and ".facegeom" not in path.parts
        }
        found += [f"missing: {path}" for path in sorted(meshes - files)]
        found += [f"left over: {path}" for path in sorted(files - meshes)]
        found += [f"half-written: {path}" for path in sorted(meshes & files) if not is_complete(path)]
        lines = self.journal.read_bytes().count(b"\n") - 1
        if lines != len(photos) + retried:
            found.append(f"{lines} records of {len(photos)} photos, {retried} of them tried again")
        return found


def ancestors(process, parents):
    """Return the ids of the processes above a process."""
    found = set()
    while process in parents and process not in found:
        found.add(process)
        process = parents[process]
    return found


def is_complete(path):
    """Return whether a GLB file has the length that its header states."""
    with open(path, "rb") as stream:
        magic, _, length = struct.unpack("<4sII", stream.read(12).ljust(12, b"\0"))
    return magic == b"glTF" and length == os.path.getsize(path)


def sha256(path):
    """Return the SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    sys.exit(main())
