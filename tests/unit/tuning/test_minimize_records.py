"""What a later run of `minimize` takes for known: numbers of the same objective, and verdicts that hold now."""

import functools
import threading
import time

import pytest

from flextune.csp.parameter_space import ParameterSpace
from flextune.measure.command import Command, CommandObjective
from flextune.trial.measurement import Status
from flextune.tuning.minimize import minimize

SPACE = {"x": [1, 2, 3, 4]}


def run(objective, path, **options):
    return minimize(objective, SPACE, 4, "random", db=path, **options)


class Shifted:
    def __init__(self, shift):
        self.shift = shift

    def __call__(self, x):
        return abs(x - self.shift)


@pytest.mark.parametrize(
    "make",
    [
        Shifted,
        lambda shift: Shifted(shift).__call__,
        lambda shift: lambda x, at=[shift]: abs(x - at[0]),
        lambda shift: functools.partial(lambda at, x: abs(x - at[0]), [shift]),
    ],
    ids=["object", "method", "default", "partial"],
)
def test_never_the_best_of_another_objective(make, tmp_path):
    for shift in (1, 3):
        result = run(make(shift), tmp_path / "r.db")
        assert (result.recorded, result.best) == (0, {"x": shift})
    again = run(make(1), tmp_path / "r.db")
    assert (again.recorded, again.best) == (4, {"x": 1})


def test_unknown_objectives_are_measured_again_and_say_so(tmp_path):
    held = threading.local()

    def objective(x):
        return x if held else 0

    with pytest.warns(UserWarning, match="cannot be told.*_thread._local.*name="):
        first = run(objective, tmp_path / "r.db")
    with pytest.warns(UserWarning, match="cannot be told"):
        second = run(objective, tmp_path / "r.db")
    assert (first.recorded, second.recorded) == (0, 0)
    for recorded in (0, 4):
        assert run(objective, tmp_path / "r.db", name="held", version="2").recorded == recorded
    assert run(objective, tmp_path / "r.db", name="held", version="3").recorded == 0


def test_a_check_judges_what_it_has_seen_alone(tmp_path):
    unchecked = run(lambda x: x, tmp_path / "r.db", name="n")
    assert unchecked.best == {"x": 1}
    for bound in (2, 3):
        for recorded in (0, 4 - bound + 1):
            checked = run(lambda x: x, tmp_path / "r.db", name="n", check=lambda value, low=bound: value >= low)
            assert checked.best == {"x": bound}
            assert checked.recorded in (recorded, 4)


def test_more_repeats_are_measured(tmp_path):
    for repeats, recorded in ((1, 0), (3, 0), (2, 4), (3, 4)):
        result = run(lambda x: x, tmp_path / "r.db", repeats=repeats)
        assert result.recorded == recorded
        assert all(len(trial.measurement.run_secs) >= repeats for trial in result.history)


def test_a_longer_timeout_gives_another_chance(tmp_path):
    def objective(x):
        time.sleep(0.4 if x == 2 else 0)
        return x

    for _ in range(2):
        assert run(objective, tmp_path / "r.db", timeout_secs=0.1).failed == 1
    assert run(objective, tmp_path / "r.db", timeout_secs=0.1).recorded == 4
    longer = run(objective, tmp_path / "r.db", timeout_secs=20.0)
    assert (longer.recorded, longer.failed) == (3, 0)


def test_a_failure_may_pass(tmp_path):
    marker = tmp_path / "marker"

    def objective(x):
        if x == 2 and not marker.exists():
            raise ValueError("not yet")
        return x

    assert run(objective, tmp_path / "r.db", name="n").failed == 1
    marker.touch()
    passed = run(objective, tmp_path / "r.db", name="n")
    assert (passed.recorded, passed.failed, passed.trials) == (3, 0, 4)


def test_a_failure_that_came_twice_stays(tmp_path):
    def objective(x):
        raise ValueError("never")

    for recorded in (0, 0, 4):
        assert run(objective, tmp_path / "r.db").recorded == recorded


def identity(command, **values):
    space = ParameterSpace.of({"x": [1, 2], **values})
    texts = tuple(value for given in values.values() for value in given)
    return CommandObjective(command, space.parameters.names, texts=texts).identity


@pytest.mark.parametrize(
    ("changed", "run", "values"),
    [
        ("bench.sh", ("sh", "bench.sh", "{x}"), {}),
        ("bench.sh", ("./bench.sh", "{x}"), {}),
        ("bench.sh", ("sh", "-c", "sh bench.sh {x} > /dev/null"), {}),
        ("helper.sh", ("sh", "bench.sh", "{x}"), {}),
        ("deeper.py", ("sh", "bench.sh", "{x}"), {}),
        ("data.bin", ("sh", "bench.sh", "{x}", "--data=data.bin"), {}),
        ("two.sh", ("sh", "{script}", "{x}"), {"script": ["one.sh", "two.sh"]}),
        ("two.sh", ("sh", "{script}.sh", "{x}"), {"script": ["one", "two"]}),
    ],
)
def test_a_changed_file_behind_a_command(changed, run, values, tmp_path):
    texts = {
        "bench.sh": "#!/bin/sh\n. ./helper.sh\n",
        "helper.sh": "python main.py\n",
        "main.py": "import deeper\n",
        "deeper.py": "print(1)",
        "data.bin": "1",
        "one.sh": "echo 1",
        "two.sh": "echo 2",
        "unrelated.py": "",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    command = Command(run, working_folder=str(tmp_path))
    before = identity(command, **values)
    (tmp_path / "unrelated.py").write_text("1")
    assert identity(command, **values) == before
    (tmp_path / changed).write_text(texts[changed] + " ")
    assert identity(command, **values) != before


def test_what_a_build_makes_is_no_part_of_it(tmp_path):
    (tmp_path / "app.c").write_text('#include "app.h"\n')
    (tmp_path / "app.h").write_text("1")
    command = Command(("./app", "{x}"), build=("cc", "app.c", "-o", "app"), working_folder=str(tmp_path))
    for name in ("app",):
        (tmp_path / name).write_text("one")
        (tmp_path / name).chmod(0o755)
    before = identity(command)
    (tmp_path / "app").write_text("two")
    assert identity(command) == before
    (tmp_path / "app.h").write_text("2")
    assert identity(command) != before


def test_a_changed_script_is_measured_again(tmp_path):
    script = tmp_path / "bench.sh"
    for sign, best in (("", 1), ("-", 4)):
        script.write_text(f"echo {sign}$1")
        result = run(Command(("sh", str(script), "{x}"), value="printed"), tmp_path / "r.db")
        assert (result.recorded, result.best) == (0, {"x": best})
        assert all(trial.status is Status.OK for trial in result.history)
