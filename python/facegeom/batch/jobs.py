"""What a worker gets and returns: the protocol between the pool and the processes that do the work."""

from __future__ import annotations

import mmap
from dataclasses import dataclass
from typing import Any, Protocol

from facegeom._internal.outputs import printable
from facegeom.errors import FacegeomError, WeightsError

LONGEST_SENTENCE = 500
"""Maximum number of characters of an error message in a table."""

MEMORY_WORDS = (
    "can't allocate memory",
    "cannot allocate memory",
    "not enough memory",
    "out of memory",
    "insufficient memory",
)
"""Words by which the exceptions of torch, OpenCV and the operating system that are no MemoryError are recognised."""

TRIAL_BYTES = 2**27
"""Size in bytes of the memory that a process without a lack of memory can get: more than the largest array of a photo
of usual size.
"""


@dataclass(frozen=True)
class Failure:
    """Why a photo has no result.

    Attributes
    ----------
    kind : name of the class of the error, such as "NoFaceFound"
    message : one sentence
    fresh : True: the next photo needs a new worker, because the state of this one is unknown
    """

    kind: str
    message: str
    fresh: bool = False


@dataclass(frozen=True)
class Reply:
    """The answer to a job.

    Attributes
    ----------
    result : what the task returned; None after an error
    failure : why there is no result; None if there is one
    fatal : an error that ends the batch, because every other photo would fail as well; None if it goes on
    """

    result: Any = None
    failure: Failure | None = None
    fatal: Exception | None = None


class Task(Protocol):
    """What workers do with each job; it can be pickled."""

    def prepare(self) -> None:
        """Load what all jobs need; an exception ends the batch."""

    def __call__(self, job: Any, /) -> Any:
        """Return the result of a job."""


class Worker(Protocol):
    """A process that does one job at a time."""

    def start(self) -> None:
        """Start the process and prepare the task in it.

        Raises
        ------
        WorkerDied
            If the process ends before it is ready.
        """

    def run(self, job: Any, timeout: float | None) -> Reply:
        """Do one job, in at most `timeout` seconds.

        Raises
        ------
        WorkerDied, JobTimeout
            If the process ended, or was ended because of the limit.
        """

    def close(self) -> None:
        """End the process; may be called from another thread while `run` waits, and more than once."""


class WorkerDied(Exception):
    """A worker process ended without an answer."""


class JobTimeout(Exception):
    """A job took too long, and its worker was ended."""


class BatchStop(Exception):
    """Raised by a task: the cause is an error that ends the batch."""


def attempt(task: Task, job: Any) -> Reply:
    """Do a job in this process; every exception of the job becomes a part of the reply."""
    try:
        return Reply(task(job))
    except BatchStop as stop:
        return Reply(fatal=stop.args[0])
    except WeightsError as error:
        return Reply(fatal=error)
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:  # one photo never ends the batch, whatever a library raises
        return Reply(failure=failure_of(error))


def prepared(task: Task) -> Reply:
    """Prepare a task in this process; an error that every worker would have becomes a part of the reply."""
    try:
        task.prepare()
    except (FacegeomError, ValueError, TypeError, ModuleNotFoundError) as error:
        return Reply(fatal=error)
    return Reply()


def failure_of(error: BaseException) -> Failure:
    """Return the kind and the message of an exception, and whether the process can be used after it.

    Errors of known kinds come from the photo. After all others, such as a lack of memory or of stack, the worker is
    replaced. A library may report a lack of memory as damaged data, so after each error it is tried whether memory is
    left.
    """
    if is_lack_of_memory(error) or not _has_memory():
        return Failure("MemoryError", sentence(error, "there was not enough memory for the photo"), fresh=True)
    known = isinstance(error, (FacegeomError, OSError, ValueError))
    return Failure(type(error).__name__, sentence(error, f"{type(error).__name__} without a message"), fresh=not known)


def is_lack_of_memory(error: BaseException) -> bool:
    """Return whether an exception means that an allocation failed."""
    if isinstance(error, MemoryError):
        return True
    text = str(error).lower() if isinstance(error, (OSError, RuntimeError, ImportError)) or _is_opencv(error) else ""
    return any(words in text for words in MEMORY_WORDS)


def sentence(error: BaseException, empty: str) -> str:
    """Return the message of an exception on one line, at most `LONGEST_SENTENCE` characters; `empty` if it has none."""
    text = printable(" ".join(str(error).split()))
    return (text[: LONGEST_SENTENCE - 3] + "..." if len(text) > LONGEST_SENTENCE else text) or empty


def _has_memory() -> bool:
    """Return whether this process can still get `TRIAL_BYTES`; they are not used, which takes no time."""
    try:
        mmap.mmap(-1, TRIAL_BYTES).close()
    except (OSError, MemoryError, ValueError):
        return False
    return True


def _is_opencv(error: BaseException) -> bool:
    return type(error).__module__.partition(".")[0] == "cv2"
