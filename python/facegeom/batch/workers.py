"""Worker processes on this machine, each with one thread.

A worker is a new Python process, not a fork: it shares no lock with the caller, and the program of the caller needs no
`if __name__ == "__main__"`. It reads jobs from its standard input and writes replies to what was its standard output,
each as a pickle after its length. It ends when its standard input ends, so none is left behind when the caller is
killed.
"""

from __future__ import annotations

import _thread
import contextlib
import os
import pickle
import queue
import signal
import struct
import subprocess
import sys
import tempfile
import threading
from typing import Any, BinaryIO

from facegeom._internal.outputs import printable
from facegeom.batch.jobs import Failure, JobTimeout, Reply, Task, WorkerDied, attempt, failure_of, prepared, sentence

ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "VECLIB_MAXIMUM_THREADS": "1",
    "OPENCV_FOR_THREADS_NUM": "1",
}
"""Environment of a worker: the libraries start no threads."""

END_S = 5.0
"""Time in seconds that a worker has to remove its temporary files when it is asked to end."""

OOM_SCORE = 500
"""Added to a worker's score (-1000 to 1000) for Linux's choice of the process to kill when memory runs out, so that it
ends a worker, which can be replaced, and not the process that keeps the record."""

_START = """
import pickle, sys
sys.path[:] = pickle.load(sys.stdin.buffer)
from facegeom.batch.workers import serve
serve()
"""
_LENGTH = struct.Struct("<Q")


class LocalWorker:
    """A worker process on this machine; see `facegeom.batch.jobs.Worker`."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._process: subprocess.Popen[bytes] | None = None
        self._errors: Any = None  # what the worker writes to its standard error
        self._turn = threading.Lock()
        self._waiting = False  # True while a job with a time limit is being done
        self._expired = False

    def start(self) -> None:
        """Start the process and prepare the task in it."""
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 closed in `close`
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", _START],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, env=os.environ | ONE_THREAD,
        )  # fmt: skip
        try:
            _stream(self._process.stdin).write(pickle.dumps(sys.path))
            ready = self._ask(self._task)
        except (OSError, EOFError) as error:
            raise WorkerDied(self._cause()) from error
        if ready.fatal is not None:
            raise ready.fatal

    def run(self, job: Any, timeout: float | None) -> Reply:
        """Do one job, in at most `timeout` seconds."""
        if timeout is None:
            return self._answer(job)
        self._waiting = True
        timer = threading.Timer(min(timeout, threading.TIMEOUT_MAX), self._expire)
        timer.start()
        try:
            reply = self._answer(job)
        except WorkerDied:
            if not self._expired:
                raise
        finally:
            timer.cancel()
            with self._turn:
                self._waiting = False
        if self._expired:
            raise JobTimeout
        return reply

    def close(self) -> None:
        """End the process: first politely, so that it removes its temporary files."""
        process = self._process
        if process is None:
            return
        if process.poll() is None:
            with contextlib.suppress(OSError, ValueError):
                _stream(process.stdin).close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(END_S + 1.0)
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, self._errors):
            with contextlib.suppress(OSError, ValueError):  # ValueError: a thread is reading
                _stream(stream).close()

    def _answer(self, job: Any) -> Reply:
        try:
            return self._ask(job)
        except (OSError, EOFError) as error:
            raise WorkerDied(self._cause()) from error

    def _ask(self, message: Any) -> Reply:
        process = self._process
        assert process is not None
        _send(_stream(process.stdin), pickle.dumps(message))
        reply = pickle.loads(_receive(_stream(process.stdout)))
        assert isinstance(reply, Reply)
        return reply

    def _expire(self) -> None:
        with self._turn:
            if self._waiting and self._process is not None:
                self._expired = True
                self._process.kill()

    def _cause(self) -> str:
        """Return in words how the process ended, with the last line that it wrote to its standard error."""
        assert self._process is not None
        try:
            code = self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        if code < 0:
            with contextlib.suppress(ValueError):
                how = f"the worker process was ended by {signal.Signals(-code).name}"
            if -code == getattr(signal, "SIGKILL", None):
                how += ", as the system does when memory runs out"
        else:
            how = f"the worker process ended with exit code {code}"
        self._errors.seek(0, os.SEEK_END)
        self._errors.seek(max(0, self._errors.tell() - 2000))
        lines = self._errors.read().decode(errors="replace").split("\n")
        last = next((line for line in reversed(lines) if line.strip()), "")
        return f"{how}: {printable(last.strip())}" if last else how


def serve() -> None:
    """Do the work of a worker process: answer jobs until the standard input ends."""
    try:
        _answer_jobs()
    except KeyboardInterrupt:  # the temporary files are removed
        os._exit(128 + signal.SIGTERM)
    os._exit(0)  # without the end of torch, which takes time


def _answer_jobs() -> None:
    inbox, outbox = _private_streams()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all processes of a terminal; the caller ends them
    signal.signal(signal.SIGTERM, _leave)
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as score:
        score.write(str(OOM_SCORE))
    mailbox = _Mailbox(inbox)
    task = mailbox.next()
    if isinstance(task, Exception):
        raise task
    reply = prepared(task)
    while True:
        mailbox.busy = False
        _send(outbox, _pickled(reply))
        job = mailbox.next()
        if job is None:
            return
        mailbox.busy = True
        reply = Reply(failure=failure_of(job)) if isinstance(job, Exception) else attempt(task, job)


class _Mailbox:
    """The jobs that arrive; when the caller has ended, this process ends as well, also in the middle of a job."""

    def __init__(self, inbox: BinaryIO) -> None:
        self.busy = True
        self._inbox = inbox
        self._arrived: queue.SimpleQueue[Any] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()

    def next(self) -> Any:
        """Wait for a job and return it; None if there will be no more; an exception if it cannot be unpickled."""
        return self._arrived.get()

    def _read(self) -> None:
        while True:
            try:
                content = _receive(self._inbox)
            except (OSError, EOFError):
                break
            except BaseException as error:  # the job does not fit into the memory
                os.write(2, type(error).__name__.encode())
                os._exit(1)
            try:
                self._arrived.put(pickle.loads(content))
            except Exception as error:
                self._arrived.put(error)
        self._arrived.put(None)
        if self.busy:
            _interrupt_main_thread()
        threading.Event().wait(END_S)
        os._exit(1)


def _interrupt_main_thread() -> None:
    """Call the handler of SIGTERM in the main thread, also if that waits for the system."""
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)
    else:  # Windows
        _thread.interrupt_main(signal.SIGTERM)


def _leave(number: int, frame: Any) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    raise KeyboardInterrupt


def _private_streams() -> tuple[BinaryIO, BinaryIO]:
    """Return standard input and output under new numbers; libraries that read or print get others in their place."""
    sys.stdout.flush()
    inbox = sys.stdin.buffer
    outbox = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return inbox, outbox


def _pickled(reply: Reply) -> bytes:
    try:
        return pickle.dumps(reply)
    except Exception as error:
        if reply.fatal is not None:
            return pickle.dumps(Reply(fatal=RuntimeError(sentence(reply.fatal, type(reply.fatal).__name__))))
        name = type(error).__name__
        return pickle.dumps(Reply(failure=Failure(name, sentence(error, "the result cannot be sent"), fresh=True)))


def _stream(stream: Any) -> Any:
    assert stream is not None
    return stream


def _send(stream: Any, content: bytes) -> None:
    stream.write(_LENGTH.pack(len(content)))
    stream.write(content)
    stream.flush()


def _receive(stream: Any) -> bytes:
    """Read one message.

    Raises
    ------
    EOFError
        If the other side has ended.
    """
    (length,) = _LENGTH.unpack(_exactly(stream, _LENGTH.size))
    return _exactly(stream, length)


def _exactly(stream: Any, count: int) -> bytes:
    content = bytes(stream.read(count))
    if len(content) < count:
        raise EOFError
    return content
