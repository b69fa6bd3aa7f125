"""Time of a whole head with a texture, and peak memory of a process that makes a large one.

    python bench/bench_head.py [PHOTO] [--size 1024] [--calls 5] [--large 2048]

The time is the median of some calls after the first one, which loads the networks: seconds on the clock, and CPU
seconds of the process, which other programs on the machine change less. The peak memory is that of a new process that
makes one head with a large texture and its GLB file. Without a photo, the photo of the package is reconstructed.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import facegeom
from facegeom.reconstruction import demo_photo


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("photo", type=Path, nargs="?", default=demo_photo(), help="photo of a face")
    parser.add_argument("--size", type=int, default=1024, help="texels a side of the texture (default: %(default)s)")
    parser.add_argument("--calls", type=int, default=5, help="number of calls (default: %(default)s)")
    parser.add_argument("--large", type=int, default=2048, help="texels a side for the memory (default: %(default)s)")
    parser.add_argument("--peak-only", action="store_true", help=argparse.SUPPRESS)  # the new process
    args = parser.parse_args()
    if args.peak_only:
        print(peak_of_one(args.photo, args.large))
        return
    first, *rest = [seconds(args.photo, args.size) for _ in range(1 + args.calls)]
    clock, cpu = (statistics.median(values) for values in zip(*rest, strict=True))
    load = f"load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "load unknown"
    print(f"head, {args.size} texels: {clock:.2f} s, {cpu:.2f} CPU s; the first {first[0]:.2f} s, {first[1]:.2f} CPU s")
    command = [sys.executable, "-P", __file__, str(args.photo), "--large", str(args.large), "--peak-only"]
    peak = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    print(f"head, {args.large} texels, and its GLB file: peak {peak / 1e6:.0f} MB  ({load})")


def seconds(photo: Path, size: int) -> tuple[float, float]:
    """Return the seconds on the clock and the CPU seconds of one head."""
    clock, cpu = time.perf_counter(), time.process_time()
    facegeom.reconstruct(photo, head=True, texture=size)
    return time.perf_counter() - clock, time.process_time() - cpu


def peak_of_one(photo: Path, size: int) -> int:
    """Make one head and its GLB file; return the peak memory of this process in bytes."""
    import resource  # not on Windows

    with tempfile.TemporaryDirectory() as folder:
        facegeom.reconstruct(photo, head=True, texture=size).save(Path(folder) / "head.glb")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


if __name__ == "__main__":
    main()
