"""`minimize`: any function or command, whatever it does; nothing recorded is lost."""

import math
import os
import signal
import sys
import time

import pytest

import flextune
from flextune.csp.assignment import Assignment
from flextune.csp.parameter_space import ParameterSpace
from flextune.database.store import open_database
from flextune.errors import InfeasibleError, UsageError
from flextune.measure.launcher import can_fork
from flextune.trial.measurement import Measurement, Status
from flextune.tuning.minimize import minimize
from flextune.tuning.positive import PositiveTold

isolated = pytest.mark.skipif(not can_fork(), reason="processes cannot be forked here")


def bowl(x, y):
    return (x - 3) ** 2 + (y - 5) ** 2


SPACE = {"x": range(10), "y": range(10)}


@pytest.mark.parametrize("strategy", ["random", "cga"])
def test_finds_the_smallest_value(strategy):
    result = minimize(bowl, SPACE, 100, strategy)
    assert result.best == {"x": 3, "y": 5}
    assert result.best_value == 0
    assert (result.trials, result.failed, result.space_size) == (100, 0, 100)
    assert result.exhausted
    assert len({tuple(trial.values.values()) for trial in result.history}) == 100


def test_the_package_exports_it():
    result = flextune.minimize(lambda config: -config["n"], [flextune.Parameter.range("n", 1, 9)], 9, "random")
    assert (result.best, result.best_value) == ({"n": 9}, -9.0)


def test_values_of_every_kind_reach_the_objective():
    seen = []

    def objective(**values):
        seen.append(values)
        return len(seen)

    declared = {"flag": [True, False], "level": ["-O2", "-O3"], "scale": [0.5, 2.0], "tile": [8, 16]}
    minimize(objective, declared, 16, "random", isolated=False)
    assert {type(value) for values in seen for value in values.values()} == {bool, str, float, int}
    assert len({tuple(values.items()) for values in seen}) == 16


def test_constraints_and_default():
    result = minimize(
        bowl,
        SPACE,
        40,
        "random",
        constraints=["x * y <= 12", lambda x, y: x != 3],
        default={"x": 1, "y": 1},
    )
    assert dict(result.history[0].values) == {"x": 1, "y": 1}
    assert all(t.values["x"] * t.values["y"] <= 12 and t.values["x"] != 3 for t in result.history)
    again = minimize(bowl, ParameterSpace.of(SPACE, "x < 2"), 1000, "random", constraints="y < 2")
    assert again.trials == again.space_size == 4


@isolated
def test_whatever_an_objective_does_costs_one_trial():
    def objective(do, n):
        if do == "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        elif do == "hang":
            time.sleep(60)
        elif do == "exit":
            sys.exit(3)
        elif do == "raise":
            raise ValueError("a bad tile")
        elif do == "memory":
            raise MemoryError
        return {"nan": math.nan, "infinite": math.inf, "text": "12", "none": None, "truth": True}.get(do, n)

    declared = {
        "do": ["fine", "crash", "hang", "exit", "raise", "memory", "nan", "infinite", "text", "none", "truth"],
        "n": [1, 2],
    }
    result = minimize(objective, declared, 22, "random", timeout_secs=0.3)
    status = {trial.values["do"]: (trial.status, trial.error) for trial in result.history}
    assert status["fine"] == (Status.OK, "")
    assert status["crash"] == (Status.RUN_ERROR, "worker killed by SIGSEGV")
    assert status["hang"] == (Status.RUN_TIMEOUT, "no end after 0.3 s")
    assert status["exit"] == (Status.RUN_ERROR, "SystemExit: 3")
    assert status["raise"] == (Status.RUN_ERROR, "ValueError: a bad tile")
    assert status["memory"][0] is Status.OUT_OF_MEMORY
    for do in ("nan", "infinite", "text", "none", "truth"):
        assert status[do][0] is Status.WRONG_OUTPUT
        assert "the objective returned no number: expected a" in status[do][1]
    assert (result.trials, result.failed, result.best) == (22, 20, {"do": "fine", "n": 1})
    assert sum(count for _, count in result.failures) == 20


def test_wrong_answers_never_win():
    def objective(n):
        return -n, n * n if n < 7 else 0

    result = minimize(objective, {"n": range(1, 10)}, 9, "random", check=lambda output: output > 0)
    assert result.best == {"n": 6}
    assert [trial.status for trial in result.history].count(Status.WRONG_OUTPUT) == 3


def test_nothing_runs():
    result = minimize(lambda n: "garbage", {"n": [1, 2]}, 5, "random", isolated=False)
    assert (result.best, result.best_value, result.best_trial, result.failed) == (None, math.inf, None, 2)


def test_repeats_count_by_their_median():
    numbers = iter([1.0, 9.0, 2.0])
    result = minimize(lambda n: next(numbers), {"n": [1]}, 1, "random", repeats=3, isolated=False)
    assert result.history[0].measurement.run_secs == (1.0, 9.0, 2.0)
    assert result.best_value == 2.0


def test_a_later_run_goes_on(tmp_path):
    first = minimize(bowl, SPACE, 10, "random", db=tmp_path / "r.db")
    calls = []

    def counted(x, y):
        calls.append((x, y))
        return bowl(x, y)

    assert (first.recorded, first.trials) == (0, 10)
    more = minimize(bowl, SPACE, 15, "random", db=str(tmp_path / "r.db"))
    assert (more.recorded, more.trials) == (10, 15)
    assert more.history[:10] == first.history
    named = minimize(counted, SPACE, 4, "random", db=tmp_path / "r.db", name="counted", isolated=False)
    assert (named.recorded, len(calls)) == (0, 4)
    minimize(counted, SPACE, 4, "random", db=tmp_path / "r.db", name="counted", isolated=False)
    assert len(calls) == 4
    minimize(counted, SPACE, 4, "random", db=tmp_path / "r.db", name="counted", isolated=False, resume=False)
    assert len(calls) == 8


def test_another_function_starts_anew(tmp_path):
    for factor in (1, 2, 1):
        result = minimize(lambda n: factor * n, {"n": [1, 2, 3]}, 3, "random", db=tmp_path / "r.db", isolated=False)  # noqa: B023
        assert result.best_value == factor


def test_records_survive_a_change_of_the_space(tmp_path):
    path = tmp_path / "r.db"
    narrow = {"word": ["a", "bb"], "obj": ["x"]}
    minimize(lambda word, obj: len(word), narrow, 2, "random", db=path, name="n", isolated=False)
    wider = {"word": ["ccc", "bb", "a"], "obj": ["x"]}
    result = minimize(lambda word, obj: len(word), wider, 3, "random", db=path, name="n", isolated=False)
    assert result.recorded == 2
    assert {trial.values["word"] for trial in result.history} == {"a", "bb", "ccc"}
    narrow = minimize(
        lambda word, obj: 0, {"word": ["a"], "obj": ["x"]}, 1, "random", db=path, name="n", isolated=False
    )
    assert (narrow.recorded, narrow.trials) == (1, 1)


def test_every_trial_is_recorded_when_it_ends(tmp_path):
    def objective(n):
        if n == 3:
            raise KeyboardInterrupt
        return n - 10

    with open_database(tmp_path / "r.db") as database:
        result = minimize(objective, {"n": [1, 2, 3]}, 3, "random", db=database, isolated=False, name="n", seed=1)
        records = database.records()
    assert result.interrupted
    assert len(records) == result.trials < 3
    assert all(record.of_objective and record.run_secs[0] < 0 for record in records)
    assert records[0].workload == "objective:n"


def test_patience_and_time_end_a_run():
    patient = minimize(lambda n: n, {"n": range(1000)}, flextune.Budget(trials=900, patience_trials=5), "random")
    assert patient.trials < 900
    started = time.perf_counter()
    timed = minimize(lambda n: time.sleep(0.02) or n, {"n": range(1000)}, flextune.Budget(minutes=0.005), "random")
    assert 1 <= timed.trials < 40
    assert time.perf_counter() - started < 5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"space": {}}, "no parameters"),
        ({"space": {"x": []}}, "'x' has no values"),
        ({"space": [flextune.Parameter("x", (1,)), flextune.Parameter("x", (1,))]}, "declared more than once"),
        ({"constraints": "z < 3"}, "unknown parameter 'z'"),
        ({"constraints": ["x * y > 100", "x < 3"]}, "no configuration is feasible"),
        ({"budget": 0}, "trials must be positive"),
        ({"budget": -3}, "trials must be positive"),
        ({"budget": 2.5}, "expected a whole number"),
        ({"strategy": "cgaa"}, "did you mean 'cga'"),
        ({"strategy_options": {"round_sise": "3"}}, "did you mean 'round_size'"),
        ({"seed": -1}, "seed must not be negative"),
        ({"default": {"x": 1}}, "'y' has no value"),
        ({"default": {"x": 9, "y": 9}, "constraints": "x * y < 10"}, "breaks a constraint"),
        ({"objective": "ls {x}"}, "a function, a Command or a list of words"),
        ({"objective": ["ls", "{x}", "{z}"]}, "unknown placeholder {z}"),
        ({"timeout": 3}, "unknown option 'timeout' of minimize"),
        ({"timeout_secs": 0}, "timeout must be positive"),
        ({"repeats": 0}, "repeats must be at least 1"),
    ],
)
def test_bad_input_is_refused_before_the_first_trial(change, message):
    arguments = {"objective": bowl, "space": SPACE, "budget": 5, "strategy": "random"} | change
    with pytest.raises(UsageError) as refused:
        minimize(**arguments)
    assert message in str(refused.value)


def test_no_feasible_configuration_names_the_constraints():
    with pytest.raises(InfeasibleError) as infeasible:
        minimize(bowl, SPACE, 5, constraints=["x * y > 81", "x < 100"])
    assert infeasible.value.conflict == ("x * y > 81",)


class Listener:
    """A strategy that keeps what it is told."""

    def __init__(self):
        self.known = {}

    def tell(self, measurements):
        self.known.update((measurement.assignment, measurement.secs) for measurement in measurements)


def test_strategies_are_told_positive_numbers_in_the_same_order():
    values = [5.0, 3.0, 3.0, 0.0, -2.0, -2.5, 10.0, -1e6, -1e6 - 1, 7.0]
    listener = Listener()
    told = PositiveTold(listener)
    for index, value in enumerate(values):
        told.tell([measurement(index, value)])
        seen = [listener.known[measurement(each, 0).assignment] for each in range(index + 1)]
        assert all(number > 0 for number in seen)
        order = sorted(range(index + 1), key=values.__getitem__)
        assert [seen[each] for each in order] == sorted(seen)
        if min(values[: index + 1]) > 0:
            assert seen == values[: index + 1]


def measurement(index, value):
    return Measurement(Assignment({"n": index}), Status.OK, (value,))
