"""The arguments of `facegeom track`; the command line imports them without NumPy and OpenCV."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path


def add_track_arguments(parser: argparse.ArgumentParser, path: Callable[[str], Path]) -> None:
    """Add the arguments of `facegeom track`; `path` makes a path of an argument."""
    parser.add_argument(
        "video", metavar="VIDEO", help="video file, or the number of a webcam, 0 for the first one (with --seconds)"
    )
    parser.add_argument(
        "-o", "--out", type=path, action="append", metavar="OUT",
        help="file to write: .glb (animated head), .csv (table of Live Link Face), .jsonl (JSON lines) or .bvh "
        "(rotation of the head); may be given several times",
    )  # fmt: skip
    parser.add_argument("--csv", type=path, metavar="FILE", help="also write the table of Live Link Face")
    parser.add_argument(
        "--preview-video", type=path, metavar="FILE.mp4",
        help="also write a video of the frames beside the head (MPEG-4)",
    )  # fmt: skip
    parser.add_argument(
        "--workers", type=int, metavar="N", default=2,
        help="number of processes that track parts of a file (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--seconds", type=float, metavar="S", help="track at most S seconds")
    parser.add_argument(
        "--texture", type=int, metavar="N", default=1024,
        help="side length N of the texture of the head in .glb files and previews (default: %(default)s)",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print the results as one JSON document")
