"""Worker processes: a crash costs a call, every reply is that of its request, and nothing of them stays behind."""

import contextlib
import gc
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from flextune.errors import UsageError
from flextune.measure import services
from flextune.measure.ending import Ending
from flextune.measure.launcher import can_fork
from flextune.measure.outcome import cause_of_end
from flextune.measure.trial_steps import Call, called
from flextune.measure.watch import RunLimits, tree_bytes
from flextune.measure.worker_process import Worker
from flextune.trial.measurement import Status

pytestmark = pytest.mark.skipif(not can_fork(), reason="processes cannot be forked here")


@pytest.fixture
def forked():
    made = []

    def make(function):
        made.append(Worker.of_function(function))
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

    worker = forked(function)
    endings = {do: worker.call({"do": do}, timeout_secs=0.3) for do in ("crash", "fine", "hang", "exit", "also fine")}
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

    worker = forked(function)
    assert worker.call({"bytes": 1 << 20, "secs": 0, "child": False}, 20, 200 << 20).ending is Ending.REPLY
    for child in (False, True):
        outcome = worker.call({"bytes": 400 << 20, "secs": 60, "child": child}, 20, 200 << 20)
        assert (outcome.ending, outcome.text) == (Ending.MEMORY, "more than 200 MiB of memory")


def test_what_a_call_starts_ends_with_its_worker():
    def function(request):
        started = subprocess.Popen(["sleep", "60"])
        return {"pid": started.pid}

    worker = Worker.of_function(function)
    left = worker.call({}).reply["pid"]
    assert tree_bytes(left)
    worker.close()
    assert gone(left)


def test_nothing_outlives_a_killed_parent(tmp_path):
    program = f"""
        import os, time
        from flextune.measure.worker_process import Worker

        def function(request):
            with open({str(tmp_path / "pids")!r}, "w") as file:
                file.write(f"{{os.getpid()}} {{os.getppid()}}")
            time.sleep(60)
            return {{}}

        Worker.of_function(function).call({{}})
    """
    parent = subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)])
    for _ in range(1000):
        if (tmp_path / "pids").exists() and (tmp_path / "pids").read_text().count(" "):
            break
        time.sleep(0.01)
    worker, server = map(int, (tmp_path / "pids").read_text().split())
    parent.kill()
    parent.wait()
    assert gone(worker)
    assert gone(server)


def test_several_at_once_and_closing_in_any_order(forked):
    first, second = forked(lambda request: {"n": 1}), forked(lambda request: {"n": 2})
    assert (first.call({}).reply, second.call({}).reply) == ({"n": 1}, {"n": 2})
    third = Worker.of_function(lambda request: {"n": 3})
    assert third.call({}).reply == {"n": 3}
    third.close()
    assert first.call({}).reply == {"n": 1}


def test_what_a_function_keeps_counts_against_its_memory(forked):
    kept = []

    def function(request):
        kept.append(b"1" * (60 << 20))
        time.sleep(0.1 if len(kept) < 3 else 10.0)  # until it is noticed, also on a machine that is busy
        return {"kept": len(kept)}

    worker = forked(function)
    limits = RunLimits(timeout_secs=20, memory_bytes=150 << 20)
    endings = [called(worker, Call({}, limits, keeps=True)).ending for _ in range(3)]
    assert endings == [Ending.REPLY, Ending.REPLY, Ending.MEMORY]


def test_garbage_of_the_parent_does_not_hide_what_a_function_takes(forked):
    class Cycle:
        def __init__(self):
            self.itself = self
            self.memory = b"1" * (100 << 20)

    def function(request):
        gc.collect()
        kept = b"1" * (60 << 20)
        time.sleep(10.0)
        return {"kept": len(kept)}

    gc.collect()
    gc.disable()
    try:
        Cycle()
        worker = forked(function)
        limits = RunLimits(timeout_secs=20, memory_bytes=50 << 20)
        assert called(worker, Call({}, limits, keeps=True)).ending == Ending.MEMORY
    finally:
        gc.enable()


def returns(request):
    return {"x": -1.0}


def raises(request):
    raise ValueError("only the child")


def leaves(request):
    sys.exit(3)


@pytest.mark.parametrize("then", [returns, raises, leaves])
@pytest.mark.parametrize("later_secs", [0.0, 0.3])
def test_a_child_that_a_function_forks_never_answers(forked, then, later_secs):
    """Neither the request that it was forked in, nor a later one: an answer belongs to its request."""

    def function(request):
        if os.fork() == 0:
            time.sleep(later_secs)
            return then(request)
        time.sleep(0.1)
        return {"x": request["x"]}

    worker = forked(function)
    assert [worker.call({"x": x}, 20).reply for x in range(6)] == [{"x": x} for x in range(6)]


def pipes():
    """This process's pipes, by descriptor."""
    links = {int(path.name): os.readlink(path) for path in Path("/proc/self/fd").iterdir() if path.is_symlink()}
    return {descriptor: link for descriptor, link in links.items() if "pipe:" in link}


def test_a_reply_with_another_number_is_not_taken(forked):
    """Here somebody writes to the worker's own pipe: replies without a number, old ones, and what is no reply."""

    def function(request):
        said = [b"garbage", b"[]", b'{"x": 1}', b'{"number": 0, "resident_bytes": 1, "message": {"x": -2}}']
        said.append(b'{"number": %d, "resident_bytes": 1, "message": {"x": -1}}' % (request["x"] - 1))
        for descriptor, pipe in pipes().items():
            if pipe not in others:
                with contextlib.suppress(OSError):  # the end that requests are read from
                    os.write(descriptor, b"\n".join([*said, b""]))
        return {"x": request["x"]}

    others = pipes().values()
    worker = forked(function)
    assert [worker.call({"x": x}, 20).reply for x in (1, 2, 3)] == [{"x": 1}, {"x": 2}, {"x": 3}]


def test_a_process_that_dies_is_noticed_though_its_child_holds_the_pipe(forked):
    def function(request):
        if os.fork() == 0:
            os.setsid()
            time.sleep(2)
            os._exit(0)
        if request["dies"]:
            os.kill(os.getpid(), signal.SIGSEGV)
        return {"pid": os.getpid()}

    worker = forked(function)
    alive = worker.call({"dies": False}, 20).reply["pid"]
    assert worker.call({"dies": True}, 20).text == "worker killed by SIGSEGV"
    replaced = worker.call({"dies": False}, 20).reply["pid"]
    os.kill(replaced, signal.SIGKILL)
    gone(replaced)
    assert len({alive, replaced, worker.call({"dies": False}, 20).reply["pid"]}) == 3


def test_a_function_may_close_what_it_prints_to(forked):
    def function(request):
        sys.stdout.close()
        return {"x": 1}

    assert [forked(function).call({}, 20).reply for _ in range(2)] == [{"x": 1}, {"x": 1}]


def test_when_its_fork_server_is_gone_a_function_gets_another(forked):
    worker = forked(lambda request: {"server": os.getppid()})
    server = worker.call({}).reply["server"]
    pid = worker.pid
    os.kill(server, signal.SIGKILL)
    assert gone(pid)
    assert worker.call({}, 20).reply["server"] not in (server, os.getpid())


ECHO = """
    import os, tempfile, time

    class Echo:
        loaded = []

        @staticmethod
        def preload(what):
            Echo.loaded.append((what, os.getpid()))

        def __init__(self, options, cores):
            self.made = {"options": options, "cores": cores, "pid": os.getpid()}

        def answer(self, request):
            if request.get("do") == "crash":
                print("about to crash", flush=True)
                os.abort()
            if request.get("do") == "hang":
                time.sleep(60)
            if request.get("do") == "temporary":
                return {"folder": tempfile.mkdtemp(prefix="flextune-link-")}
            return {**self.made, "loaded": Echo.loaded, "threads": os.environ["TVM_NUM_THREADS"], "do": request["do"]}
"""


@pytest.fixture
def echo(tmp_path, monkeypatch):
    """A service that only its own processes import."""
    (tmp_path / "echo_service.py").write_text(textwrap.dedent(ECHO))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(services, "_SERVICES", dict(services._SERVICES))
    services.register("echo", "echo_service:Echo")
    with Worker.of_service("echo", options="x=1", cores=2, preload="library") as worker:
        yield worker
    assert "echo_service" not in sys.modules


def test_a_named_service_gets_its_options_and_what_it_preloads(echo):
    reply = echo.call({"do": "nothing"}, 60).reply
    assert (reply["options"], reply["cores"], reply["threads"], reply["do"]) == ("x=1", 2, "2", "nothing")
    assert [what for what, _ in reply["loaded"]] == ["library", "library"]
    server, worker = [pid for _, pid in reply["loaded"]]
    assert worker == reply["pid"] != server


def test_a_service_is_replaced_after_a_crash_and_a_hang(echo):
    first = echo.call({"do": "nothing"}, 60).reply["pid"]
    crash, hang = echo.call({"do": "crash"}, 60), echo.call({"do": "hang"}, 0.3)
    assert cause_of_end(crash) == (Status.RUN_ERROR, "worker killed by SIGABRT")
    assert crash.log_tail == "about to crash"
    assert cause_of_end(hang, building=True) == (Status.BUILD_TIMEOUT, "no end after 0.3 s")
    assert echo.call({"do": "nothing"}, 60).reply["pid"] != first
    assert echo.generation == 2


def test_what_a_killed_process_leaves_goes_with_its_worker(echo):
    folder = Path(echo.call({"do": "temporary"}, 60).reply["folder"])
    assert folder.is_dir()
    assert echo.call({"do": "crash"}, 60).ending is Ending.DIED
    echo.close()
    assert not folder.exists()


def test_closing_a_service_ends_all_it_has_started(echo):
    pid = echo.call({"do": "nothing"}, 60).reply["pid"]
    echo.close()
    assert gone(pid)


def test_a_service_nobody_knows(echo):
    with pytest.raises(UsageError, match=r"unknown service 'ecko'.*did you mean 'echo'"):
        Worker.of_service("ecko")
    with pytest.raises(UsageError, match="registered already"):
        services.register("kernels", "another:Service")


def test_nothing_outlives_a_killed_group(tmp_path):
    """As when a terminal's whole group is killed: what the function has started ends too, in whatever session."""
    program = f"""
        import os, subprocess, time
        from flextune.measure.worker_process import Worker

        def function(request):
            started = [subprocess.Popen(["sleep", "60"], start_new_session=new) for new in (False, True)]
            with open({str(tmp_path / "pids")!r}, "w") as file:
                file.write(" ".join(str(each.pid) for each in started) + " .")
            time.sleep(60)
            return {{}}

        Worker.of_function(function).call({{}})
    """
    parent = subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)], start_new_session=True)
    for _ in range(1000):
        if (tmp_path / "pids").exists() and (tmp_path / "pids").read_text().endswith("."):
            break
        time.sleep(0.01)
    left = [int(word) for word in (tmp_path / "pids").read_text().split()[:2]]
    os.killpg(parent.pid, signal.SIGKILL)
    parent.wait()
    assert all(map(gone, left))
