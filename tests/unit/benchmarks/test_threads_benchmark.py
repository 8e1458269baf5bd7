from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from benchmarks.peers.threads import wait_at_rest

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")

BUSY = "print('up', flush=True)\nwhile True: pass"
SLEEPING = "import time; print('up', flush=True); time.sleep(60)"
ALONE = """
import os
from benchmarks.peers.threads import place_threads
print(place_threads(lambda: sum(range(1000)), sorted(os.sched_getaffinity(0))), os.sched_getaffinity(0))
"""
WORKERS = """
import os, numpy, threading
from benchmarks.peers.threads import place_threads
stop, both = threading.Event(), numpy.ones((300, 300))
def work():
    while not stop.is_set(): both @ both
thread = threading.Thread(target=work)
thread.start()
print(place_threads(lambda: both @ both, sorted(os.sched_getaffinity(0))))
stop.set()
"""


@pytest.fixture
def running() -> Iterator[list[subprocess.Popen[str]]]:
    processes: list[subprocess.Popen[str]] = []
    yield processes
    for process in processes:
        process.kill()
        process.communicate()


def start(program: str, running: list[subprocess.Popen[str]]) -> int:
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    running.append(process)
    assert process.stdout is not None
    process.stdout.readline()
    return process.pid


def test_a_sleeping_process_is_at_rest_and_a_busy_one_is_not(running: list[subprocess.Popen[str]]) -> None:
    sleeping, busy = start(SLEEPING, running), start(BUSY, running)
    assert wait_at_rest([sleeping], 10.0)
    assert not wait_at_rest([sleeping, busy], 0.1)


def in_own_process(program: str) -> str:
    """What a program prints: in a process of its own, where no library's threads are at work beside it."""
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_caller_goes_to_the_first_core() -> None:
    assert in_own_process(ALONE) == f"1 {{{min(os.sched_getaffinity(0))}}}"


def test_threads_that_work_are_counted() -> None:
    assert in_own_process(WORKERS) == "2"
