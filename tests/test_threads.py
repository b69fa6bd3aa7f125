"""Limits on threads: their scope, threads that use facegeom at the same time, forked children, and equal results."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import pytest
import torch
from threadpoolctl import threadpool_info, threadpool_limits

import facegeom
from facegeom import FaceMesh
from facegeom._internal.threads import limit_worker_to_one_thread, load_once, one_thread

TESTS = Path(__file__).parent
PACKAGE = Path(facegeom.__file__).parent
NUMBERS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


def blas_threads() -> list[int]:
    return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]


def mkl_threads() -> int:
    """Return the number of threads of the MKL inside torch, in this thread."""
    found = re.search(r"mkl_get_max_threads\(\) : (\d+)", torch.__config__.parallel_info())
    return int(found[1]) if found else 1


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    """Two threads for torch and BLAS in this process, however many it was started with."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with threadpool_limits(2):
            yield
    finally:
        torch.set_num_threads(before)


def in_thread(function: Callable[[], Any]) -> Any:
    """Return the result of a function in a new thread."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function).result()


def run_python(*arguments: str, threads: int | None = None, timeout: float = 600) -> str:
    """Run Python in a new process; return what it printed. None: the number of threads is not set in any variable."""
    env = {name: value for name, value in os.environ.items() if name not in NUMBERS}
    if threads is not None:
        env |= dict.fromkeys(NUMBERS, str(threads))
    env["PYTHONPATH"] = os.pathsep.join([str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-P", *arguments], env=env, capture_output=True, text=True, timeout=timeout, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


# ---- one_thread ------------------------------------------------------------------------------------------------------


def test_one_thread_applies_within_the_block_only() -> None:
    before = torch.get_num_threads(), blas_threads()
    with one_thread():
        assert torch.get_num_threads() == 1
        assert set(blas_threads()) <= {1}
    assert (torch.get_num_threads(), blas_threads()) == before


def test_opencv_is_limited_until_the_last_thread_leaves() -> None:
    before = cv2.getNumThreads()
    cv2.setNumThreads(3)
    try:
        with one_thread():
            assert cv2.getNumThreads() == 1
            assert in_thread(one_thread()(cv2.getNumThreads)) == 1
            assert cv2.getNumThreads() == 1
        assert cv2.getNumThreads() == 3
    finally:
        cv2.setNumThreads(before)


def test_limits_are_restored_after_an_error() -> None:
    before = torch.get_num_threads(), blas_threads()
    with pytest.raises(KeyError), one_thread():
        raise KeyError
    assert (torch.get_num_threads(), blas_threads()) == before


def test_an_inner_block_does_not_end_the_limit() -> None:
    with threadpool_limits(2, user_api="blas"), one_thread():
        with one_thread():
            pass
        assert set(blas_threads()) <= {1}
        assert torch.get_num_threads() == 1


def test_the_last_thread_that_leaves_restores_blas() -> None:
    second_inside, first_outside = threading.Event(), threading.Event()

    def second() -> list[int]:
        with one_thread():
            second_inside.set()
            assert first_outside.wait(60)
            return blas_threads()

    with threadpool_limits(2, user_api="blas"), ThreadPoolExecutor(1) as pool:
        before = blas_threads()
        with one_thread():
            later = pool.submit(second)
            assert second_inside.wait(60)
        first_outside.set()
        assert set(later.result()) <= {1}
        assert blas_threads() == before


def test_blas_is_limited_from_any_thread() -> None:
    def inside() -> list[int]:
        with one_thread():
            return blas_threads()

    with threadpool_limits(2, user_api="blas"):  # this thread has set the number, another one limits it
        assert set(in_thread(inside)) <= {1}


def test_torch_in_other_threads_keeps_its_number() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with one_thread():
            assert in_thread(torch.get_num_threads) == 2
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_each_thread_restores_its_own_number_of_torch() -> None:
    def call() -> tuple[int, int, int, int]:
        torch.set_num_threads(3)
        with one_thread():
            inside = torch.get_num_threads(), mkl_threads()
        return *inside, torch.get_num_threads(), mkl_threads()

    before = torch.get_num_threads()
    try:
        with one_thread():
            found = in_thread(call)
        assert found[:3] == (1, 1, 3)
        assert found[3] in (1, 3)  # 1: this torch has no MKL
    finally:
        torch.set_num_threads(before)


LATE = """
import facegeom
from facegeom import FaceMesh
from facegeom._internal.threads import one_thread
from threadpoolctl import threadpool_info

with one_thread():
    pass
with one_thread():
    import scipy.linalg
    import torch
    with one_thread():  # limits what was loaded inside the outer block
        numbers = {pool["num_threads"] for pool in threadpool_info()} | {torch.get_num_threads()}
    assert numbers == {1}, numbers
assert torch.get_num_threads() == 2, torch.get_num_threads()
assert all(pool["num_threads"] == 2 for pool in threadpool_info()), threadpool_info()
"""


def test_libraries_that_are_loaded_later_are_limited_too() -> None:
    run_python("-c", LATE, threads=2)


def test_worker_process_uses_one_thread_and_its_parent_does_not() -> None:
    before = blas_threads()
    with ProcessPoolExecutor(1, initializer=limit_worker_to_one_thread) as pool:
        assert set(pool.submit(blas_threads).result()) <= {1}
        assert pool.submit(torch.get_num_threads).result() == 1
    assert blas_threads() == before


# ---- load_once -------------------------------------------------------------------------------------------------------


def test_threads_that_need_a_value_at_the_same_time_load_it_once() -> None:
    started, calls = threading.Barrier(4), []

    @load_once(maxsize=2)
    def load(name: str) -> object:
        calls.append(name)
        time.sleep(0.1)
        return object()

    def work() -> object:
        started.wait(60)
        return load("network")

    with ThreadPoolExecutor(4) as pool:
        found = [future.result() for future in [pool.submit(work) for _ in range(4)]]
    assert len(set(map(id, found))) == 1
    assert calls == ["network"]
    assert load("other") is not found[0]


def test_calls_with_the_same_values_are_one_call_however_they_are_written() -> None:
    calls = []

    @load_once(maxsize=2)
    def load(name: str = "face", *, head: bool = False) -> object:
        calls.append((name, head))
        return object()

    assert load() is load("face") is load(name="face") is load("face", head=False)
    assert load(head=True) is load("face", head=True) is not load()
    assert calls == [("face", False), ("face", True)]


def test_a_failed_load_is_tried_again() -> None:
    answers = iter([KeyError(), None])

    @load_once(maxsize=1)
    def load() -> str:
        if error := next(answers):
            raise error
        return "loaded"

    with pytest.raises(KeyError):
        load()
    assert load() == "loaded"


# ---- fork ------------------------------------------------------------------------------------------------------------

FORK = """
import os, sys, threading, time
import numpy
from threadpoolctl import threadpool_info
from facegeom._internal import threads

def numbers():
    return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}

def child():
    with threads.one_thread():
        assert numbers() == {1}
    assert numbers() == {2}, numbers()
    loaded = threads.load_once(maxsize=1)(lambda: "loaded")
    assert loaded() == "loaded"

def fork():
    pid = os.fork()
    if not pid:
        try:
            child()
        except BaseException:
            sys.excepthook(*sys.exc_info())
            os._exit(1)
        os._exit(0)
    return pid

entered, end = threading.Event(), threading.Event()

def inside():
    with threads.one_thread(), threads._loading:
        entered.set()
        assert end.wait(60)
        left.append(time.monotonic())

left = []
worker = threading.Thread(target=inside)
worker.start()
assert entered.wait(60)
"""

FORK_WAITS = """
threading.Timer(0.5, end.set).start()
pid = fork()
assert left, "the fork did not wait for the thread inside"
"""

FORK_DOES_NOT_WAIT_FOR_EVER = """
threads.LONGEST_WAIT_S = 0.2
pid = fork()
assert not left
end.set()
"""

FORK_INSIDE = """
with threads.one_thread():
    threading.Timer(0.5, end.set).start()
    pid = os.fork()
    if not pid:
        assert numbers() == {1}
if not pid:
    assert numbers() == {2}
    os._exit(0)
"""

FORK_END = """
worker.join()
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
with threads.one_thread():
    assert numbers() == {1}
assert numbers() == {2}
"""


@needs_fork
@pytest.mark.parametrize(
    "body", [FORK_WAITS, FORK_DOES_NOT_WAIT_FOR_EVER, FORK_INSIDE], ids=["waits", "waits in vain", "from inside"]
)
def test_a_child_forked_while_another_thread_is_inside_works(body: str) -> None:
    run_python("-c", FORK + body + FORK_END, threads=2, timeout=100)


FORK_WITH_OPENCV = """
import os
import cv2, numpy
from facegeom._internal.threads import one_thread

image = numpy.zeros((3000, 3000, 3), numpy.uint8)
cv2.setNumThreads(2)
cv2.resize(image, (1500, 1500))  # OpenCV starts its threads

def child_works():
    with one_thread():
        cv2.resize(image, (1500, 1500))
    cv2.resize(image, (1500, 1500))
    os._exit(0)

for inside in (False, True):
    if inside:
        with one_thread():
            pid = os.fork()
    else:
        pid = os.fork()
    if not pid:
        child_works()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
assert cv2.getNumThreads() == 2
"""


@needs_fork
def test_opencv_in_a_child_that_is_forked_inside_works() -> None:
    run_python("-c", FORK_WITH_OPENCV, threads=2, timeout=100)


# ---- the library -----------------------------------------------------------------------------------------------------


def stress(*arguments: str, threads: int | None = None) -> Any:
    """Run `thread_stress.py`; return the figures or digests that it printed."""
    printed = run_python(str(TESTS / "thread_stress.py"), *arguments, threads=threads, timeout=3600)
    print(printed)
    return json.loads(printed.splitlines()[-1])


def test_threads_and_forked_children_get_the_serial_results() -> None:
    figures = stress("--quick", "--threads", "4", "--calls", "8", "--children", "2", "--child-calls", "4")
    assert (figures["calls"], figures["different"], figures["failed"]) == (32, 0, 0)


@pytest.mark.slow
def test_threads_and_forked_children_get_the_serial_results_in_880_calls() -> None:
    figures = stress("--threads", "4", "--calls", "200", "--children", "4", "--child-calls", "20")
    assert (figures["calls"], figures["different"], figures["failed"]) == (800, 0, 0)


STARTED = """
import os
import cv2, scipy.linalg, torch  # OpenBLAS starts its threads when it is loaded
import thread_stress

cv2.setNumThreads(0)  # OpenCV's own threads are allowed
before = sorted(os.listdir("/proc/self/task"))
for name, job in thread_stress.QUICK.items():
    job()
    assert sorted(os.listdir("/proc/self/task")) == before, f"{name} has started threads"
"""


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="this system does not list the threads of a process")
def test_no_call_starts_threads_of_blas_or_torch() -> None:
    run_python("-c", STARTED, threads=2)


def test_caches_of_the_library_are_filled_once() -> None:
    folders = [PACKAGE / name for name in ("detection", "face_model", "mesh", "networks", "pipelines", "texture")]
    sources = [path for folder in folders for path in folder.rglob("*.py")]
    assert len(sources) > 40
    users = [path.name for path in sources if re.search(r"lru_cache|import cache\b", path.read_text("utf-8"))]
    assert users == [], "use load_once: with lru_cache, threads load the same network several times"


def test_loading_in_threads_keeps_the_warning_filters(tmp_path: Path) -> None:
    mesh = FaceMesh([[0, 0, 0], [1, 0, 0], [0, 1, 0.0]], [[0, 1, 2]])
    mesh.save(tmp_path / "mesh.glb")
    FaceMesh.load(tmp_path / "mesh.glb")  # adds the filter of `quiet`, which stays
    before = list(warnings.filters)

    def load(_: int) -> int:
        return len(FaceMesh.load(tmp_path / "mesh.glb").faces)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(8) as pool:
            assert set(pool.map(load, range(400))) == {1}
    finally:
        sys.setswitchinterval(interval)
    assert warnings.filters == before


def test_results_do_not_depend_on_the_number_of_threads() -> None:
    found = [stress("--quick", "--digests", threads=count) for count in (1, 2, 4)]
    assert found[0] == found[1] == found[2]


@pytest.mark.slow
def test_no_result_depends_on_the_number_of_threads() -> None:
    found = [stress("--digests", threads=count) for count in (1, 2, 4, None)]
    assert all(one == found[0] for one in found)
    assert len(found[0]) >= 15
