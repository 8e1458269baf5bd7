"""What a watcher sees."""

from __future__ import annotations

import fcntl
import math
import os
import re
import select
import signal
import subprocess
import sys
import termios
import threading
import time
from contextlib import suppress
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

import flextune
from flextune.cli.live import LiveView, failure_lines, share_done, summary
from flextune.cli.working import Ticker, Working, working
from flextune.csp import Assignment
from flextune.database.store import open_database
from flextune.schedule.trace import Trace
from flextune.target.target import Target
from flextune.trial.measurement import Candidate, Measurement, Status
from flextune.tuning.budget import Budget
from flextune.tuning.events import Event, ModelTimed, Phase, PhaseBegan, TaskOpened, TrialMeasured
from flextune.tuning.progress import Progress
from flextune.workload.parse import parse_workload

CANDIDATE = Candidate(
    parse_workload("gemm:m=8,n=8,k=8"), Target.parse("null:cpu=none,cores=1"), Trace(()), Assignment({"i": 1})
)


def trial(number: int, secs: float | None, error: str = "", best_secs: float = math.inf) -> Event:
    status = Status.OK if secs else Status.RUN_ERROR
    measurement = Measurement(CANDIDATE.assignment, status, (secs,) if secs else (), error)
    return TrialMeasured("a", CANDIDATE, measurement, number, min(best_secs, secs or math.inf))


def progress_of(*events: Event) -> Progress:
    progress = Progress()
    for event in events:
        progress(event)
    return progress


def test_summary_of_one_task() -> None:
    progress = progress_of(TaskOpened("a", 100, 10, 0.5), trial(11, 0.25), trial(12, None, "boom", 0.25))
    text = summary(progress, Budget(trials=64), 3.2)
    assert text == "12/64 trials (10 recorded), 1 failed, best 250 ms, 3 s"


def test_summary_counts_down_a_budget_in_minutes() -> None:
    progress = progress_of(TaskOpened("a", 100, 0, math.inf), TaskOpened("b", 10, 0, math.inf))
    assert summary(progress, Budget(minutes=1), 15.0) == "0 trials, 0 failed, 2 tasks, 45 s left"
    assert "0 s left" in summary(progress, Budget(minutes=1), 100.0)


def test_what_the_best_so_far_is_worth_for_the_model() -> None:
    """The kernel that is called three times has become twice as fast: 3 x 4 + 8 = 20 become 3 x 2 + 8 = 14."""
    opened = (TaskOpened("a", 9, 0, math.inf), TaskOpened("b", 9, 5, 8.0, 8.0), TaskOpened("other", 9, 0, math.inf))
    timed = ModelTimed("net", 0.040, (("a", 3), ("b", 1), ("never opened", 7)))
    progress = progress_of(timed, *opened, trial(1, 4.0), trial(2, 2.0))
    assert progress.expected_secs == pytest.approx(0.040 * 14 / 20)
    text = summary(progress, Budget(minutes=1), 0.0)
    assert "model 40 ms by default, about 28 ms with the best (1.43x)" in text
    assert "model 40 ms by default, 60 s left" in summary(progress_of(timed), Budget(minutes=1), 0.0)


def test_the_share_of_the_budget_that_is_used_up() -> None:
    progress = progress_of(TaskOpened("a", 9, 3, 1.0), trial(4, 1.0))
    assert share_done(progress, Budget(trials=16), 1e9) == 0.25
    assert share_done(progress, Budget(trials=16, minutes=1), 30.0) == 0.5
    assert share_done(progress, Budget(minutes=1), 1e9) == 1.0


def test_failures_are_grouped_by_cause() -> None:
    crashes = [trial(n, None, f"killed at 0x{n:x}") for n in range(1, 4)]
    progress = progress_of(TaskOpened("a", 9, 0, math.inf), *crashes, trial(4, None, "no memory"))
    assert failure_lines(progress) == ["  3 x run_error: killed at @", "  1 x run_error: no memory"]


def test_a_line_for_each_phase_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with LiveView(Budget(trials=2), "net", began=time.perf_counter()) as view:
        for event in (
            PhaseBegan(Phase.IMPORT),
            PhaseBegan(Phase.DEFAULT_BUILD, "net"),
            PhaseBegan(Phase.DEFAULT_BUILD),
        ):
            view(event)
        view(PhaseBegan(Phase.TRIALS))
        view(TaskOpened("a", 9, 0, math.inf))
        view(trial(1, 0.5))
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = [line.partition(":") for line in captured.err.splitlines()]
    assert [line[0] for line in lines] == ["net", "import", "default build", "trials", "trials"]
    assert lines[-1][2].startswith(" 1/2 trials, 0 failed, best 500 ms")


def test_a_terminal_shows_the_phase_a_bar_tasks_and_failures() -> None:
    out = StringIO()
    console = Console(file=out, width=120, force_terminal=True)
    with LiveView(Budget(trials=6), "the title\x1b[2J", console, phases=tuple(Phase)) as view:
        events = (TaskOpened("a", 9, 0, math.inf), trial(1, 1.0), trial(2, 0.5), trial(3, None, "boom", 0.5))
        for event in (PhaseBegan(Phase.TRIALS), *events):
            view(event)
    for part in ("the title\\x1b[2J", "[trials]", "import", "█░", "50%", "3/6 trials", "2.00x", "1 x run_error: boom"):
        assert part in out.getvalue()


def test_a_ticker_calls_until_it_is_stopped() -> None:
    called = threading.Event()
    ticker = Ticker(0.001, called.set)
    ticker.start()
    assert called.wait(60)
    ticker.stop()
    called.clear()
    assert not called.wait(0.01)


def test_what_takes_long_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    times = iter((0.0, 2.0, 12.0))
    work = Working("reading\x1b[2J", lambda: next(times))
    work.say()
    work.now("writing")
    work.say()
    assert capsys.readouterr().err == "reading\\x1b[2J ... 2 s\nwriting ... 12 s\n"
    with working("nothing that takes long"):
        pass
    assert capsys.readouterr().err == ""


GEMM, NULL = "gemm:m=512,n=512,k=512", "null:cpu=none,cores=1"
COMMAND = (sys.executable, "-m", "flextune", "tune", GEMM, "--target", NULL, "--trials", "280", "--db", "r.db")
MODULE = {**os.environ, "PYTHONPATH": str(Path(flextune.__file__).parents[1])}


def seen_until(process: subprocess.Popen[bytes], source: int, *wanted: bytes) -> bytes:
    """What it writes until all of these patterns were there."""
    seen = b""
    while not all(re.search(each, seen) for each in wanted):
        assert select.select([source], [], [], 240)[0], seen
        part = os.read(source, 65536)
        assert part, (seen, process.wait(60))
        seen += part
    return seen


def rest(source: int) -> bytes:
    seen = b""
    with suppress(OSError):  # a terminal whose other end is closed
        while part := os.read(source, 65536):
            seen += part
    return seen


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs pseudo-terminals")
def test_in_a_terminal_until_ctrl_c(tmp_path: Path) -> None:
    """The key itself is pressed: the terminal makes the signal of it."""
    master, slave = os.openpty()

    def own_terminal() -> None:
        os.setsid()
        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)

    process = subprocess.Popen(
        COMMAND, cwd=tmp_path, env=MODULE, stdin=slave, stdout=slave, stderr=slave, preexec_fn=own_terminal
    )
    os.close(slave)
    seen = seen_until(process, master, rb"\[trials\]", "░".encode(), rb"[1-9]\d*/280 trials, ", rb"faster")
    os.write(master, b"\x03")
    seen += rest(master)
    assert process.wait(60) == 1
    told = seen.replace(b"\r\n", b"\n").decode()
    assert "of this run are kept in r.db: the same command goes on from there" in told
    assert "\x1b[?25h" in told  # the cursor is back
    with open_database(tmp_path / "r.db", must_exist=True) as database:
        kept = len(database.records())
    counted = re.search(r"all (\d+) trials of this run", told)
    assert counted is not None
    assert kept >= int(counted[1]) > 0  # the last ones may have been stored, and not counted yet


def test_in_a_pipe_until_it_is_terminated(tmp_path: Path) -> None:
    process = subprocess.Popen(COMMAND, cwd=tmp_path, env=MODULE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stderr is not None
    seen = seen_until(process, process.stderr.fileno(), b"trials: ")
    while not (tmp_path / "r.db").exists():
        assert process.poll() is None
        time.sleep(0.01)
    with open_database(tmp_path / "r.db") as database:
        while not database.records():
            assert process.poll() is None
            time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1
    lines = (seen + err).decode().splitlines()
    assert lines[0] == f"{GEMM},dtype=float32: started"
    assert next(line for line in lines if line.startswith("trials: ")).startswith("trials: 0/280 trials")
    assert "kept in r.db" in lines[-1]
    assert b"\x1b" not in seen + err
    assert b"trials" in out
