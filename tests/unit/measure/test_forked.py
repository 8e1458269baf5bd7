"""A function in a process of its own: its crash costs a call, and nothing of it stays behind."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from flextune.measure.ending import Ending
from flextune.measure.forked import ForkedFunction, can_fork
from flextune.measure.watch import RunLimits, tree_bytes

pytestmark = pytest.mark.skipif(not can_fork(), reason="processes cannot be forked here")


@pytest.fixture
def forked():
    made = []

    def make(function, **limits):
        made.append(ForkedFunction(function, RunLimits(**limits)))
        return made[-1]

    yield make
    for each in made:
        each.close()


def gone(pid):
    """Whether the process ends within two seconds."""
    for _ in range(200):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.01)
    return False


def test_closures_work_and_the_worker_is_kept(forked):
    calls = []

    def function(request):
        calls.append(request)
        return {"pid": os.getpid(), "calls": len(calls), "twice": 2 * request["x"]}

    worker = forked(function)
    replies = [worker.call({"x": x}).reply for x in (1, 2, 3)]
    assert [reply["twice"] for reply in replies] == [2, 4, 6]
    assert [reply["calls"] for reply in replies] == [1, 2, 3]
    assert len({reply["pid"] for reply in replies} | {os.getpid()}) == 2
    assert calls == []


def test_a_crash_a_hang_and_an_exit_cost_one_call(forked):
    def function(request):
        if request["do"] == "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        elif request["do"] == "hang":
            time.sleep(60)
        elif request["do"] == "exit":
            os._exit(0)
        return {"pid": os.getpid()}

    worker = forked(function, timeout_secs=0.3)
    endings = {do: worker.call({"do": do}) for do in ("crash", "fine", "hang", "exit", "also fine")}
    assert {do: outcome.ending for do, outcome in endings.items()} == {
        "crash": Ending.DIED,
        "fine": Ending.REPLY,
        "hang": Ending.TIMEOUT,
        "exit": Ending.DIED,
        "also fine": Ending.REPLY,
    }
    assert endings["crash"].text == "worker killed by SIGSEGV"
    assert endings["hang"].text == "no end after 0.3 s"
    assert endings["exit"].text == "worker ended with exit code 0"


def test_memory_counts_with_the_processes_it_starts(forked):
    def function(request):
        if request["child"]:
            program = f"x = b'1' * {request['bytes']}; import time; time.sleep(60)"
            subprocess.run([sys.executable, "-c", program], check=True)
        kept = b"1" * request["bytes"]
        time.sleep(request["secs"])
        return {"bytes": len(kept)}

    worker = forked(function, timeout_secs=20, memory_bytes=200 << 20)
    assert worker.call({"bytes": 1 << 20, "secs": 0, "child": False}).ending is Ending.REPLY
    for child in (False, True):
        outcome = worker.call({"bytes": 400 << 20, "secs": 60, "child": child})
        assert (outcome.ending, outcome.text) == (Ending.MEMORY, "more than 200 MiB of memory")


def test_what_a_call_starts_ends_with_its_worker():
    def function(request):
        started = subprocess.Popen(["sleep", "60"])
        return {"pid": started.pid}

    worker = ForkedFunction(function, RunLimits())
    left = worker.call({}).reply["pid"]
    assert tree_bytes(left)
    worker.close()
    assert gone(left)


def test_nothing_outlives_a_killed_parent(tmp_path):
    program = f"""
        import os, time
        from flextune.measure.forked import ForkedFunction
        from flextune.measure.watch import RunLimits

        def function(request):
            with open({str(tmp_path / "pids")!r}, "w") as file:
                file.write(f"{{os.getpid()}} {{os.getppid()}}")
            time.sleep(60)
            return {{}}

        ForkedFunction(function, RunLimits()).call({{}})
    """
    parent = subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)])
    for _ in range(1000):
        if (tmp_path / "pids").exists() and (tmp_path / "pids").read_text().count(" "):
            break
        time.sleep(0.01)
    worker, nursery = map(int, (tmp_path / "pids").read_text().split())
    parent.kill()
    parent.wait()
    assert gone(worker)
    assert gone(nursery)


def test_several_at_once_and_closing_in_any_order(forked):
    first, second = forked(lambda request: {"n": 1}), forked(lambda request: {"n": 2})
    assert (first.call({}).reply, second.call({}).reply) == ({"n": 1}, {"n": 2})
    third = ForkedFunction(lambda request: {"n": 3}, RunLimits())
    assert third.call({}).reply == {"n": 3}
    third.close()
    assert first.call({}).reply == {"n": 1}
