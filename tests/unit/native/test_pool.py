"""The thread pool: every task once, from any thread, nested, and after a fork; and TVM's kernels on it."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import lru_cache

import pytest

from flextune.native.toolchain import pool_library


class _Group(ctypes.Structure):
    _fields_ = [("sync_handle", ctypes.c_void_p), ("num_task", ctypes.c_int32)]


_Task = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.POINTER(_Group), ctypes.c_void_p)


@lru_cache(maxsize=1)
def _pool() -> ctypes.CDLL:
    library = ctypes.CDLL(str(pool_library()))
    library.ft_parallel_launch.argtypes = [_Task, ctypes.c_void_p, ctypes.c_int]
    return library


def _launch(work: Callable[[int, int], int], count: int) -> int:
    task = _Task(lambda index, group, _: work(index, group[0].num_task))
    return int(_pool().ft_parallel_launch(task, None, count))


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_every_task_runs_once(threads: int) -> None:
    assert _pool().ft_use_threads(threads) == threads
    for count in (0, 1, 3, 7):
        seen: list[tuple[int, int]] = []

        def work(index: int, tasks: int, seen: list[tuple[int, int]] = seen) -> int:
            seen.append((index, tasks))
            return 0

        assert _launch(work, count) == 0
        tasks = count or threads
        assert sorted(seen) == [(index, tasks) for index in range(tasks)]


def test_a_task_that_fails_is_told_and_forgotten() -> None:
    _pool().ft_use_threads(2)
    assert _launch(lambda index, _: -1 if index == 1 else 0, 4) == -1
    assert _launch(lambda index, _: -1 if index == 0 else 0, 4) == -1
    assert _launch(lambda *_: 0, 4) == 0


def test_a_launch_in_a_task_runs_there() -> None:
    _pool().ft_use_threads(2)
    inner: list[tuple[int, int]] = []

    def work(index: int, _: int) -> int:
        return _launch(lambda *each: inner.append(each) or 0, 0) if index == 1 else 0

    assert _launch(work, 2) == 0
    assert inner == [(0, 1)]


def test_many_threads_may_launch_at_once() -> None:
    _pool().ft_use_threads(3)
    totals = [0] * 4

    def caller(own: int) -> None:
        lock = threading.Lock()

        def work(index: int, tasks: int) -> int:
            with lock:
                totals[own] += 1.0 / tasks
            return 0 * index

        _pool().ft_use_threads(3)
        for _ in range(200):
            assert _launch(work, 0) == 0

    callers = [threading.Thread(target=caller, args=(own,)) for own in range(4)]
    for each in callers:
        each.start()
    for each in callers:
        each.join(timeout=60)
    assert totals == pytest.approx([200] * 4)


def test_runs_may_nest() -> None:
    for _ in range(3):
        _pool().ft_begin_run()
    test_every_task_runs_once(2)
    for _ in range(3):
        _pool().ft_end_run()


def test_a_forked_child_has_threads_of_its_own() -> None:
    program = (
        "import os, sys\n"
        "from tests_pool import test_every_task_runs_once as check\n"
        "check(3)\n"
        "child = os.fork()\n"
        "check(3)\n"
        "os._exit(0) if child == 0 else sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )
    source = f"import importlib.util, sys\nspec = importlib.util.spec_from_file_location('tests_pool', {__file__!r})\n"
    source += "module = importlib.util.module_from_spec(spec)\nsys.modules['tests_pool'] = module\n"
    source += "spec.loader.exec_module(module)\n" + program
    outcome = subprocess.run([sys.executable, "-W", "ignore", "-c", source], timeout=60, check=False, env=os.environ)
    assert outcome.returncode == 0


def test_kernels_of_tvm_run_on_it() -> None:
    program = (
        "import numpy, tvm\n"
        "from tvm import te\n"
        "from flextune.native.thread_pool import use_own_pool\n"
        "assert use_own_pool(2)\n"
        "a = te.placeholder((64,), name='a')\n"
        "c = te.compute((64,), lambda i: a[i] + 1.0, name='c')\n"
        "schedule = tvm.s_tir.Schedule(te.create_prim_func([a, c]))\n"
        "schedule.parallel(schedule.get_loops(schedule.get_sblock('c'))[0])\n"
        "main = tvm.compile(schedule.mod, target=tvm.target.Target({'kind': 'llvm'})).jit()['main']\n"
        "x, y = (tvm.runtime.tensor(numpy.zeros(64, numpy.float32)) for _ in range(2))\n"
        "main(x, y)\n"
        "assert (y.numpy() == 1).all()\n"
        "import os\n"
        "names = {open(f'/proc/self/task/{t}/comm').read().strip() for t in os.listdir('/proc/self/task')}\n"
        "assert 'flextune' in names, names\n"
        "os._exit(0)\n"
    )
    assert subprocess.run([sys.executable, "-c", program], timeout=120, check=False).returncode == 0
