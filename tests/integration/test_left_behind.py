"""What a run leaves behind: nothing, whatever ends it and wherever."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from flextune.database.store import open_database
from flextune.measure.launcher import can_fork

pytestmark = pytest.mark.skipif(not can_fork(), reason="needs Linux")

COMMAND = """
import sys, flextune
flextune.minimize(
    flextune.Command(("sh", "-c", "setsid sleep 987{x} & sleep 986{x}; echo {x}"), build=("touch", "{folder}/f")),
    {"x": range(50)}, 50, "random", db=sys.argv[1], timeout_secs=100,
)
"""
FUNCTION = """
import subprocess, sys, time, flextune
def objective(x):
    subprocess.Popen(["sleep", f"987{x}"], start_new_session=True)
    time.sleep(100)
flextune.minimize(objective, {"x": range(50)}, 50, "random", db=sys.argv[1], timeout_secs=100)
"""


def running(word: str) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if len(words) > 1 and words[0] == "sleep" and words[1].startswith(word):
            found.append(" ".join(words))
    return found


def wait_until(condition, secs=20.0):
    deadline = time.monotonic() + secs
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return condition()


def started(program: str, tmp_path: Path, mark: str) -> subprocess.Popen:
    (tmp_path / "tmp").mkdir(exist_ok=True)
    environment = {**os.environ, "TMPDIR": str(tmp_path / "tmp"), "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(
        [sys.executable, "-c", program.replace("987", mark), str(tmp_path / "r.db")],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT, signal.SIGHUP, signal.SIGTERM])
@pytest.mark.parametrize(("program", "mark"), [(COMMAND, "9871"), (FUNCTION, "9872")], ids=["command", "function"])
def test_processes_in_any_session_go_with_the_run(program, mark, end, tmp_path):
    mark = f"{mark}{end:02d}"
    run = started(program, tmp_path, mark)
    assert wait_until(lambda: running(mark)), run.stderr
    run.send_signal(end)
    run.wait(20)
    assert wait_until(lambda: not running(mark)), running(mark)


@pytest.mark.slow
def test_a_timeout_ends_children_in_other_sessions(tmp_path):
    run = started(COMMAND.replace("timeout_secs=100", "timeout_secs=0.2").replace("50, 50", "2, 2"), tmp_path, "98703")
    assert run.wait(60) == 0
    assert not running("98703")
    assert not any((tmp_path / "tmp").iterdir())


def test_folders_of_a_killed_run_go_with_the_next(tmp_path):
    run = started(COMMAND, tmp_path, "98704")
    assert wait_until(lambda: running("98704"))
    run.kill()
    run.wait()
    assert any((tmp_path / "tmp").iterdir())
    assert wait_until(lambda: not running("98704"))
    # sleeps of no time, and a lock that the kernel takes back with the last process that has it
    again = started(COMMAND.replace("986{x}", "0").replace("987{x}", "0").replace("50, 50", "2, 2"), tmp_path, "98705")
    assert again.wait(60) == 0
    assert wait_until(lambda: not any((tmp_path / "tmp").iterdir())), list((tmp_path / "tmp").iterdir())


SERVER_KILLED = """
import os, sys, time, flextune
def objective(x):
    if x == 3 and not os.path.exists(sys.argv[1] + ".killed"):
        open(sys.argv[1] + ".killed", "w").close()
        os.kill(os.getppid(), 9)
        time.sleep(100)
    return x
result = flextune.minimize(objective, {"x": range(6)}, 6, "random", db=sys.argv[1], timeout_secs=50)
assert (result.trials, result.failed, result.best) == (6, 0, {"x": 0}), result
"""


def test_a_killed_fork_server_loses_nothing(tmp_path):
    run = started(SERVER_KILLED, tmp_path, "98706")
    assert run.wait(60) == 0, run.stderr.read()
    with open_database(tmp_path / "r.db") as database:
        assert len(database.records()) == 6


COMMANDS_KILLED = """
import os, signal, sys, flextune
result = flextune.minimize(
    flextune.Command(("sh", "-c", "test {x} = 3 && kill -9 $(ps -o ppid= -p $PPID) $PPID; echo {x}"), value="printed"),
    {"x": range(6)}, 6, "random", db=sys.argv[1])
assert (result.trials, result.best) == (6, {"x": 0}), result
assert result.failed <= 1, result
"""


def test_a_killed_process_of_commands_costs_one_trial(tmp_path):
    run = started(COMMANDS_KILLED, tmp_path, "98707")
    assert run.wait(60) == 0, run.stderr.read()
