"""Commands as objectives: words, numbers, wrong answers, and everything that can go wrong with one."""

import math
import sys
import time

import pytest

from flextune.csp.assignment import Assignment
from flextune.errors import EnvironmentFault, UsageError
from flextune.measure.command import Command, CommandObjective, filled_in, value_text
from flextune.measure.watch import RunLimits
from flextune.trial.measurement import Status

HERE = Assignment({"x": 0})
SHELL = ("sh", "-c", "{x}")


def measured(x, *, build=(), repeats=1, timeout_secs=5.0, memory_bytes=0, check=None, run=SHELL, **fields):
    command = Command(run, build=build, **fields)
    limits = RunLimits(timeout_secs, memory_bytes)
    objective = CommandObjective(command, ("x",), check=check, repeats=repeats, limits=limits, build_limits=limits)
    return objective.measure(HERE, {"x": x})


def test_wall_time():
    found = measured("sleep 0.15", repeats=2)
    assert found.status is Status.OK
    assert len(found.run_secs) == 2
    assert all(0.15 <= secs < 1.0 for secs in found.run_secs)
    assert found.elapsed_secs >= sum(found.run_secs)


@pytest.mark.parametrize(
    ("printed", "value", "number"),
    [
        ("took 3 s, then 1.5s", "printed", 1.5),
        ("x86 build 7: -2.5e-3", "printed", -2.5e-3),
        ("time: 4 other: 9\\ntime: 5 other: 8", r"time: (\S+)", 5.0),
        (".5", "printed", 0.5),
    ],
)
def test_printed_numbers(printed, value, number):
    assert measured(f"printf '{printed}'", value=value).run_secs == (number,)


@pytest.mark.parametrize(
    ("x", "fields", "status", "error"),
    [
        ("exit 3", {}, Status.RUN_ERROR, "run: ended with exit code 3"),
        (
            "echo one >&2; echo some error: bad tile >&2; echo end >&2; exit 1",
            {},
            Status.RUN_ERROR,
            "some error: bad tile",
        ),
        ("kill -SEGV $$", {}, Status.RUN_ERROR, "run: killed by SIGSEGV"),
        ("sleep 60", {"timeout_secs": 0.2}, Status.RUN_TIMEOUT, "run: no end after 0.2 s"),
        ("echo hello", {"value": "printed"}, Status.WRONG_OUTPUT, "it printed no number: 'hello'"),
        ("echo nan", {"value": "printed"}, Status.WRONG_OUTPUT, "finite number, got nan"),
        ("echo 1e999", {"value": "printed"}, Status.WRONG_OUTPUT, "finite number, got inf"),
        ("echo t=fast", {"value": "t=(.*)"}, Status.WRONG_OUTPUT, "it printed no number: 'fast'"),
        ("echo sum 41", {"expect": "sum 42"}, Status.WRONG_OUTPUT, "wrong answer: the output has no match of 'sum 42'"),
        ("echo a", {"check": lambda output: output == "b\n"}, Status.WRONG_OUTPUT, "the check does not accept"),
        ("echo a", {"check": lambda output: 1 / 0}, Status.WRONG_OUTPUT, "the check raised ZeroDivisionError"),
        (
            "true",
            {"build": ("sh", "-c", "echo x.c: error: no {x} >&2; exit 1")},
            Status.BUILD_ERROR,
            "build: ended with",
        ),
        ("true", {"build": ("sleep", "60"), "timeout_secs": 0.2}, Status.BUILD_TIMEOUT, "build: no end after"),
        ("", {"run": ("{folder}/nothing", "{x}")}, Status.RUN_ERROR, "cannot be run"),
    ],
)
def test_what_goes_wrong_is_the_outcome_of_the_trial(x, fields, status, error):
    found = measured(x, **fields)
    assert found.status is status
    assert error in found.error
    assert found.run_secs == ()
    assert found.secs == math.inf


def test_a_memory_hog_is_stopped():
    hog = "x = b'1' * (400 << 20); import time; time.sleep(60)"
    found = measured(hog, run=(sys.executable, "-c", "{x}"), memory_bytes=200 << 20, timeout_secs=20)
    assert (found.status, found.error) == (Status.OUT_OF_MEMORY, "run: more than 200 MiB of memory")


def test_what_a_command_leaves_running_is_ended(tmp_path):
    found = measured(f"(sleep 0.4; touch {tmp_path}/late) & exit 0")
    assert found.ok
    time.sleep(0.6)
    assert not (tmp_path / "late").exists()


def test_each_trial_builds_in_a_folder_of_its_own(tmp_path):
    build = ("sh", "-c", "test ! -e {folder}/made && echo {x} > {folder}/made")
    for _ in range(2):
        found = measured("7", build=build, run=("cat", "{folder}/made"), value="printed")
        assert found.run_secs == (7.0,)
        assert found.build_secs > 0


def test_words_and_environment():
    command = Command(("echo", "-t={tile}", "{flag}", "{{x}}", "{on}"))
    values = {"tile": "8", "flag": "", "on": value_text(True)}
    assert command.words(command.run, values) == ("echo", "-t=8", "{x}", "1")
    assert filled_in("{{{tile}}}", values) == "{8}"
    found = measured("3", run=("sh", "-c", "echo $TILE"), environment=(("TILE", "{x}{x}"),), value="printed")
    assert found.run_secs == (33.0,)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Command(()), "needs words to run"),
        (lambda: Command("ls {x}"), "expected a list of words"),
        (lambda: Command(("ls", 3)), "expected a list of words"),
        (lambda: Command(("ls", "{x")), "single brace"),
        (lambda: Command(("ls",), value="("), "no regular expression"),
        (lambda: Command(("ls",), value="time"), "with one group"),
        (lambda: Command(("ls",), expect="["), "no regular expression"),
        (lambda: CommandObjective(Command(("ls", "{tiel}")), ("tile",)), "did you mean 'tile'"),
        (lambda: CommandObjective(Command(("ls", "{x.__class__}")), ("x",)), "unknown placeholder"),
        (lambda: CommandObjective(Command(("ls",)), ("x",)), "the command has no {x}"),
        (lambda: CommandObjective(Command(("ls", "{folder}")), ("folder",)), "cannot be named 'folder'"),
        (lambda: CommandObjective(Command(("ls", "{x}"), working_folder="/no/such"), ("x",)), "does not exist"),
        (lambda: RunLimits(0), "must be positive"),
        (lambda: RunLimits(1, -1), "must not be negative"),
    ],
)
def test_bad_commands_are_refused_before_anything_runs(make, message):
    with pytest.raises(UsageError) as refused:
        make()
    assert message in str(refused.value)


def test_a_program_that_is_not_there_is_no_failed_trial():
    with pytest.raises(EnvironmentFault, match="'no-such-program' cannot be found"):
        CommandObjective(Command(("no-such-program", "{x}")), ("x",))
