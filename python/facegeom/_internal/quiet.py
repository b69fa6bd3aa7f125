"""Silence for the libraries that read files: their warnings and log messages do not reach the user of facegeom.

What is wrong with a file is in the exception that facegeom raises.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import warnings
from collections.abc import Iterator
from typing import Any

LOGGERS = ("PIL.TiffImagePlugin", "trimesh")
"""Loggers of the libraries that write warnings and errors; without handlers, Python prints them to stderr."""


class _Silenced(threading.local):
    """Whether this thread is inside `quiet`; also the condition of a filter of warnings and of a filter of loggers.

    `warnings.catch_warnings` changes the filters of all threads, and leaves them changed when threads interleave. A
    filter of warnings, however, may contain any object with the method `match`, which decides for each warning.
    """

    depth = 0

    def match(self, _: str) -> bool:
        return self.depth > 0

    def filter(self, _: logging.LogRecord) -> bool:
        return self.depth == 0


_silenced = _Silenced()
_ENTRY: Any = ("ignore", _silenced, Warning, None, 0)  # action, message, category, module, line number

for _name in LOGGERS:
    logging.getLogger(_name).addFilter(_silenced.filter)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Ignore the warnings and log messages that this thread causes inside the block; other threads keep theirs."""
    filters: Any = warnings.filters
    if not filters or filters[0] is not _ENTRY:  # other code has replaced the filters, or has added one
        filters.insert(0, _ENTRY)
        with contextlib.suppress(ValueError):
            del filters[filters.index(_ENTRY, 1)]
    _silenced.depth += 1
    try:
        yield
    finally:
        _silenced.depth -= 1
