"""Worker processes: each job gets an answer, whatever it does to its worker, and none is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from batch_tasks import ActTask
from facegeom import BatchError, WeightsError
from facegeom.batch import pool as pool_module
from facegeom.batch.engines import reply_stream
from facegeom.batch.jobs import LONGEST_SENTENCE, failure_of

posix = pytest.mark.skipif(os.name != "posix", reason="needs signals")


def outcomes(jobs: Any, task: ActTask | None = None, **options: Any) -> list[tuple[int, Any, Any]]:
    """Return number, job and reply of all jobs."""
    return list(reply_stream(jobs, task or ActTask(), **{"workers": 2, **options}))


def failures(jobs: list[str], **options: Any) -> dict[str, Any]:
    """Return the failure of each job that has one."""
    return {job: reply.failure for _, job, reply in outcomes(jobs, **options) if reply.failure is not None}


ERRORS = {
    "memory": "MemoryError",
    "torch memory": "MemoryError",
    "called": "CalledProcessError",
    "unicode": "UnicodeEncodeError",
    "recursion": "RecursionError",
    "no face": "NoFaceFound",
    "leave": "SystemExit",
}
"""Word -> class of the error."""


@pytest.mark.parametrize("workers", [0, 1])
def test_one_photo_never_ends_the_batch(workers: int) -> None:
    jobs = [job for word in ERRORS for job in (word, f"after {word}")]
    replies = outcomes(jobs, workers=workers)
    assert sorted(number for number, _, _ in replies) == list(range(len(jobs)))
    for _, job, reply in replies:
        if job in ERRORS:
            assert reply.failure.kind == ERRORS[job], job
            assert reply.failure.message, job
            assert "\n" not in reply.failure.message
        else:
            assert reply.result == job


@posix
def test_worker_that_dies_costs_its_photo_only() -> None:
    jobs = ["1", "die", "2", "abort", "3", "die", "4", "unpicklable", "5"]
    replies = outcomes(jobs)
    assert len(replies) == len(jobs)
    assert {reply.result for _, _, reply in replies if reply.failure is None} == {"1", "2", "3", "4", "5"}
    found = {job: reply.failure for _, job, reply in replies if reply.failure is not None}
    assert found.keys() == {"die", "abort", "unpicklable"}
    assert found["die"].kind == found["abort"].kind == "WorkerDied"
    assert "SIGKILL" in found["die"].message
    assert found["abort"].message.endswith(
        "exit code 3: terminate called after throwing an instance of 'std::length_error'"
    )


def test_worker_is_replaced_after_a_lack_of_memory_and_kept_after_an_error_of_the_photo() -> None:
    replies = outcomes(["pid", "no face", "pid", "memory", "pid"], workers=1)
    first, second, third = (reply.result for _, job, reply in replies if job == "pid")
    assert first == second != third


@posix
def test_memory_limit_of_a_worker_costs_one_photo() -> None:
    resource = pytest.importorskip("resource")
    if not hasattr(resource, "prlimit"):
        pytest.skip("needs prlimit")
    jobs = ["pid", "wait 1", *[bytes(50_000_000)] * 2, "after"]
    found = {}
    for number, _, reply in reply_stream(jobs, ActTask(), workers=1):
        if number == 0:
            resource.prlimit(reply.result, resource.RLIMIT_AS, (2**20, 2**20))
        found[number] = reply
    assert found[2].failure.kind in ("MemoryError", "WorkerDied")
    assert found[3].failure is None
    assert found[4].result == "after"


def test_timeout_costs_one_photo() -> None:
    start = time.monotonic()
    found = failures(["sleep", "1", "2"], timeout=3.0)
    assert found["sleep"].kind == "TimeoutError"
    assert found["sleep"].message == "the photo took longer than 3 s"
    assert found.keys() == {"sleep"}
    assert time.monotonic() - start < 50


def test_ordered_replies() -> None:
    jobs = ["wait 0.3", "2", "3", "wait 0.1", "5", "6", "7", "8", "9"]
    assert [job for _, job, _ in outcomes(jobs, ordered=True)] == jobs
    assert {job for _, job, _ in outcomes(jobs)} == set(jobs)


def test_jobs_are_taken_as_they_are_needed() -> None:
    taken = []

    def jobs() -> Iterator[str]:
        for number in range(100):
            taken.append(number)
            yield str(number)

    replies = reply_stream(jobs(), ActTask(), workers=2)
    next(replies)
    assert len(taken) <= 2 * pool_module.QUEUED + 1
    replies.close()


def workers_of(parent: int) -> list[int]:
    """Return the process ids of the children of a process."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = status.read_text()
        except OSError:
            continue
        state, of = text.rpartition(")")[2].split()[:2]
        if int(of) == parent and state != "Z":
            found.append(int(status.parent.name))
    return found


linux = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")


@linux
@pytest.mark.parametrize("how", ["close", "delete", "error"])
def test_workers_end_when_the_caller_stops_early(how: str) -> None:
    replies = reply_stream(["1", *["sleep"] * 3], ActTask(), workers=2)
    next(replies)
    assert workers_of(os.getpid())
    if how == "close":
        replies.close()
    elif how == "delete":
        del replies
    else:
        with pytest.raises(ZeroDivisionError):
            replies.throw(ZeroDivisionError())
    assert not workers_of(os.getpid())
    assert not [thread for thread in threading.enumerate() if thread.name == "facegeom worker"]


@linux
def test_workers_end_when_the_caller_is_killed() -> None:
    code = (
        "import sys; from batch_tasks import ActTask; from facegeom.batch.engines import reply_stream\n"
        "for _, job, _ in reply_stream(['1', 'sleep', 'sleep', 'sleep'], ActTask(), workers=2): print(job, flush=True)"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout.readline() == b"1\n"
        children = workers_of(process.pid)
        assert children
        process.kill()
    deadline = time.monotonic() + 30
    while any(
        Path(f"/proc/{child}").exists() and child in workers_of(1) + workers_of(os.getpid()) for child in children
    ):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_preparation_that_fails_in_this_process_is_one_error() -> None:
    with pytest.raises(BatchError, match="the networks cannot be loaded: there was not enough memory"):
        outcomes(["1"], ActTask("memory"), workers=0)


@posix
def test_error_of_the_photo_by_a_lack_of_memory_replaces_the_worker() -> None:
    resource = pytest.importorskip("resource")
    if not hasattr(resource, "prlimit"):
        pytest.skip("needs prlimit")
    found = {}
    for number, job, reply in reply_stream(["pid", "wait 1", "no face", "pid", "no face"], ActTask(), workers=1):
        if number == 0:
            resource.prlimit(reply.result, resource.RLIMIT_AS, (2**20, 2**20))
        found[number] = reply
        del job
    assert found[2].failure.kind in ("MemoryError", "WorkerDied")
    assert found[3].result != found[0].result
    assert found[4].failure.kind == "NoFaceFound"


def test_weights_that_are_missing_end_the_batch() -> None:
    for options in ({"workers": 0}, {"workers": 1}):
        with pytest.raises(WeightsError, match="weights of facevision are missing"):
            outcomes(["1", "weights", "2"], **options)
        with pytest.raises(WeightsError, match="weights of facevision are missing"):
            outcomes(["1"], ActTask("weights"), **options)


def test_workers_that_do_not_start_end_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "START_PAUSE_S", 0.0)
    with pytest.raises(BatchError, match=r"worker processes do not start: .* exit code 3: terminate called"):
        outcomes(["1", "2"], ActTask("abort"), workers=1)


def test_what_libraries_print_does_not_disturb_the_replies(capfd: pytest.CaptureFixture[str]) -> None:
    assert [reply.result for _, _, reply in outcomes(["print", "print"], workers=1)] == ["print"] * 2
    assert capfd.readouterr() == ("", "")


def test_workers_have_one_thread() -> None:
    assert outcomes(["threads"])[0][2].result == {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def test_input_that_cannot_be_sent_is_an_error_of_the_photo() -> None:
    replies = {number: reply for number, _, reply in outcomes([threading.Lock(), "2"], workers=1)}
    assert replies[0].failure.kind == "TypeError"
    assert replies[1].result == "2"


def test_error_of_the_input_reaches_the_caller() -> None:
    def jobs() -> Iterator[str]:
        yield "1"
        raise KeyError("input")

    with pytest.raises(KeyError, match="input"):
        outcomes(jobs())


@posix
def test_terminated_worker_ends_cleanly() -> None:
    def jobs() -> Iterator[str]:
        yield "pid"
        yield "wait 2"
        time.sleep(0.5)
        os.kill(workers_of(os.getpid())[0], signal.SIGTERM)

    found = failures_of(outcomes(jobs(), workers=1))
    assert found == {"wait 2": "WorkerDied"}


def failures_of(replies: list[tuple[int, Any, Any]]) -> dict[str, str]:
    return {job: reply.failure.kind for _, job, reply in replies if reply.failure is not None}


def test_messages_are_one_line_of_limited_length() -> None:
    assert failure_of(ValueError("two\nlines \x1b[31m")).message == "two lines \\x1b[31m"
    assert len(failure_of(ValueError("long " * 1000)).message) == LONGEST_SENTENCE
    assert failure_of(KeyError()).message == "KeyError without a message"
    assert failure_of(OSError(12, "Cannot allocate memory")).kind == "MemoryError"


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"engine": "cluster"}, ValueError),
        ({"workers": -1}, ValueError),
        ({"workers": 1.5}, TypeError),
        ({"timeout": 0}, ValueError),
        ({"timeout": float("nan")}, ValueError),
        ({"address": "auto"}, ValueError),
        ({"workers": 0, "timeout": 5}, ValueError),
        ({"workers": 0, "engine": "ray"}, ValueError),
    ],
)
def test_invalid_options(options: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error, match=next(iter(options))):
        reply_stream(["1"], ActTask(), **options)
