"""The thread pool: as many threads as asked for, the caller's affinity untouched, a started small pool is no trap."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

from flextune.apply.threads import PoolThreads, pool_cpus, start_pool

pytestmark = pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system has no thread affinity")

IN_A_FRESH_PROCESS = """
import os, tvm
from flextune.apply.threads import PoolThreads, start_pool
threads = tvm.get_global_func("runtime.NumThreads")
"""


def in_fresh_process(program: str, **environment: str) -> str:
    outcome = subprocess.run(
        [sys.executable, "-c", IN_A_FRESH_PROCESS + program],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **environment},
    )
    return outcome.stdout.strip()


def test_pool_has_the_threads_asked_for_and_the_caller_stays_free() -> None:
    program = "before = os.sched_getaffinity(0); print(start_pool(3), threads(), before == os.sched_getaffinity(0))"
    assert in_fresh_process(program) == "3 3 True"


def test_small_pool_started_before_is_got_around() -> None:
    program = "first = threads(); print(first, PoolThreads(3).call(lambda: threads()), threads())"
    assert in_fresh_process(program, TVM_NUM_THREADS="1") == "1 3 1"


def test_results_and_errors_come_back() -> None:
    pool = PoolThreads(1)
    assert pool.call(lambda: 41 + 1) == 42

    def fail() -> None:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        pool.call(fail)


def test_every_thread_gets_its_own_pool() -> None:
    found: list[int] = []
    thread = threading.Thread(target=lambda: found.append(start_pool(2)))
    thread.start()
    thread.join()
    assert found == [2]


def test_cpus_are_allowed_ones_and_repeat_when_there_are_too_few() -> None:
    allowed = os.sched_getaffinity(0)
    assert set(pool_cpus(1)) <= allowed
    assert len(pool_cpus(len(allowed) + 3)) == len(allowed) + 3
