"""Photos a minute of two worker processes beside those of one process.

    python bench/bench_batch.py PHOTOS --count 40

Both reconstruct the same photos and write the meshes to a temporary folder. The time starts when the networks are
loaded and each worker has finished photos, so it is that of a long batch. The two take turns, because other programs on
the machine change the times; the load of the machine is printed with the results. On two idle cores two workers are
about twice as fast.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

from facegeom.batch.engines import reply_stream
from facegeom.batch.inputs import find_photos
from facegeom.batch.tasks import PhotoJob, ReconstructTask, SaveTask


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("photos", type=Path, help="folder of photos")
    parser.add_argument("--count", type=int, default=40, help="number of photos in each turn (default: %(default)s)")
    parser.add_argument("--turns", type=int, default=3, help="number of turns (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=2, help="number of worker processes (default: %(default)s)")
    parser.add_argument("--pipeline", default="pix2vertex")
    args = parser.parse_args()
    found = [photo.path for photo in find_photos(args.photos)]
    photos = [found[number % len(found)] for number in range(args.count)]
    task = SaveTask(ReconstructTask({"pipeline": args.pipeline}))
    rates: dict[int, list[float]] = {0: [], args.workers: []}
    for turn in range(args.turns):
        for workers, measured in rates.items():
            measured.append(photos_a_minute(photos, task, workers))
            name = "one process" if workers == 0 else f"{workers} workers"
            print(
                f"turn {turn + 1}: {name:<12} {measured[-1]:7.1f} photos/min  load {os.getloadavg()[0]:.1f}", flush=True
            )
    one, many = (statistics.median(measured) for measured in rates.values())
    print(f"one process {one:.1f}, {args.workers} workers {many:.1f} photos/min: ratio {many / one:.2f}")


def photos_a_minute(photos: list[Path], task: SaveTask, workers: int) -> float:
    """Return the rate of a batch after its workers are warm."""
    warm = max(1, workers) * 2  # photos that are not counted
    with tempfile.TemporaryDirectory() as folder:
        jobs = [
            PhotoJob(photo.absolute(), Path(folder) / f"{number}.glb")
            for number, photo in enumerate([*photos[:1] * warm, *photos])
        ]
        start = time.perf_counter()
        for done, _ in enumerate(reply_stream(jobs, task, workers=workers), 1):
            if done == warm:
                start = time.perf_counter()
        return 60.0 * len(photos) / (time.perf_counter() - start)


if __name__ == "__main__":
    main()
