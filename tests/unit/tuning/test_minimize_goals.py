"""Directions, several goals, queues, workers, finalists, ends, and the search alone."""

import itertools
import math
import os
import time

import pytest

import flextune
from flextune.database.store import open_database
from flextune.errors import UsageError
from flextune.measure.launcher import can_fork
from flextune.trial.measurement import Status
from flextune.trial.record import Evidence
from flextune.tuning.goals import Goals, pareto_front
from flextune.tuning.minimize import minimize

isolated = pytest.mark.skipif(not can_fork(), reason="processes cannot be forked here")
SPACE = {"x": range(10), "y": range(10)}


def both(x, y):
    return {"secs": (x - 3) ** 2 + y, "accuracy": -((x - 6) ** 2) - 2 * y}


@pytest.mark.parametrize("strategy", ["random", "auto"])
def test_the_largest_value(strategy, tmp_path):
    def hill(x, y):
        return 7 - (x - 3) ** 2 - (y - 5) ** 2

    result = minimize(hill, SPACE, 100, strategy, direction="maximize", db=tmp_path / "r.db")
    assert (result.best, result.best_value) == ({"x": 3, "y": 5}, 7)
    again = minimize(hill, SPACE, 100, strategy, direction="maximize", db=tmp_path / "r.db")
    assert (again.recorded, again.best_value) == (100, 7)
    other = minimize(hill, SPACE, 100, strategy, db=tmp_path / "r.db")
    assert other.recorded == 0
    assert other.best_value == 7 - 36 - 25
    with open_database(tmp_path / "r.db") as database:
        record = database.records()[0]
        best = database.best(record.workload_key, record.target_key)
    assert best is not None
    assert best.assignment == "x=3,y=5"


def test_nothing_ran_of_what_was_to_be_large():
    assert minimize(lambda x: None, {"x": [1]}, 1, isolated=False, direction="maximize").best_value == -math.inf


@pytest.mark.parametrize("strategy", ["random", "local-search", "auto"])
def test_the_front_of_several_goals(strategy, tmp_path):
    direction = {"secs": "minimize", "accuracy": "maximize"}
    result = minimize(both, SPACE, 100, strategy, direction=direction, db=tmp_path / "r.db", isolated=False)
    expected = set()
    for x, y in itertools.product(range(10), range(10)):
        mine = both(x, y)
        others = (both(a, b) for a, b in itertools.product(range(10), range(10)))
        if not any(o["secs"] <= mine["secs"] and o["accuracy"] >= mine["accuracy"] and o != mine for o in others):
            expected.add((x, y))
    assert {tuple(trial.values.values()) for trial in result.front} == expected
    assert result.front[0].metrics.keys() == {"secs", "accuracy"}
    assert result.best == {"x": 3, "y": 0}
    again = minimize(both, SPACE, 100, strategy, direction=direction, db=tmp_path / "r.db", isolated=False)
    assert again.recorded == 100
    assert [trial.metrics for trial in again.front] == [trial.metrics for trial in result.front]


def test_a_front_is_found_before_all_is_tried():
    """With a budget of a fortieth, much nearer to the front than chance."""
    space = {name: range(20) for name in "abcd"}

    def objective(a, b, c, d):
        away = (a - 10) ** 2 + (b - 3) ** 2
        return {"one": c + away, "two": (19 - c) + away + d}

    def badness(strategy, seed):
        direction = {"one": "minimize", "two": "minimize"}
        result = minimize(objective, space, 60, strategy, direction=direction, seed=seed, isolated=False)
        return min(trial.metrics["one"] + trial.metrics["two"] for trial in result.front)

    guided, chance = ([badness(strategy, seed) for seed in range(3)] for strategy in ("auto", "random"))
    assert sum(guided) < sum(chance)


def test_pareto_front_against_brute_force():
    rng = __import__("random").Random(0)
    losses = [tuple(rng.randrange(6) for _ in range(3)) for _ in range(80)]
    found = {losses[index] for index in pareto_front(range(80), losses)}
    beaten = {a for a in losses if any(all(x <= y for x, y in zip(b, a, strict=True)) and a != b for b in losses)}
    assert found == set(losses) - beaten


def test_other_metrics_are_kept(tmp_path):
    result = minimize(
        lambda x: {"secs": x, "watts": 2.5 * x}, {"x": [1, 2]}, 2, direction={"secs": "minimize"}, db=tmp_path / "r.db"
    )
    assert result.best_trial is not None
    assert (result.best_value, result.best_trial.metrics) == (1, {"secs": 1.0, "watts": 2.5})
    with open_database(tmp_path / "r.db") as database:
        assert {record.metrics for record in database.records()} == {
            (("secs", 1.0), ("watts", 2.5)),
            (("secs", 2.0), ("watts", 5.0)),
        }


def test_a_missing_metric_is_a_failure():
    result = minimize(lambda x: {"a": x}, {"x": [1]}, 1, direction={"b": "minimize"}, isolated=False)
    assert result.history[0].status is Status.WRONG_OUTPUT
    assert "'b': it is not among 'a'" in result.history[0].error
    plain = minimize(lambda x: {"a": x}, {"x": [1]}, 1, isolated=False)
    assert "expected a number, got {'a': 1}" in plain.history[0].error


@isolated
def test_metrics_of_a_command():
    command = flextune.Command(
        ("sh", "-c", "echo size {x}; echo speed $((10 - {x}))"),
        metrics=(("size", r"size (\d+)"), ("speed", r"speed (\d+)")),
    )
    result = minimize(command, {"x": [1, 2, 3]}, 3, "random", direction={"size": "minimize", "speed": "minimize"})
    assert len(result.front) == 3
    assert result.best == {"x": 1}
    assert result.front[0].metrics == {"size": result.front[0].values["x"], "speed": 10 - result.front[0].values["x"]}
    timed = minimize(command, {"x": [1, 2]}, 2, "random", direction={"wall": "minimize", "size": "maximize"})
    assert all(trial.metrics["wall"] > 0 for trial in timed.history)


def test_the_queue_comes_first_and_once():
    queue = [{"x": 5, "y": 5}, {"x": 1, "y": 2}, {"x": 5, "y": 5}]
    for strategy in ("random", "exhaustive", "auto"):
        result = minimize(both_sum, SPACE, 100, strategy, default={"x": 9, "y": 9}, enqueue=queue, isolated=False)
        tried = [tuple(trial.values.values()) for trial in result.history]
        assert tried[:3] == [(9, 9), (5, 5), (1, 2)]
        assert len(set(tried)) == len(tried) == 100


def both_sum(x, y):
    return x + y


@isolated
@pytest.mark.parametrize("kind", ["function", "command"])
def test_workers_work_at_the_same_time(kind, tmp_path):
    """Each trial waits until another one is there: alone none would end."""

    def objective(x):
        (tmp_path / f"{x}").touch()
        there = len(list(tmp_path.glob("[0-9]*")))
        while len(list(tmp_path.glob("[0-9]*"))) < there + there % 2:
            time.sleep(0.01)
        return x

    script = (
        "touch {x}; there=$(ls | grep -c '^[0-9]'); "
        "while [ $(ls | grep -c '^[0-9]') -lt $((there + there % 2)) ]; do sleep 0.01; done; echo {x}"
    )
    command = flextune.Command(("sh", "-c", script), value="printed", working_folder=str(tmp_path))
    what = objective if kind == "function" else command
    result = minimize(what, {"x": range(6)}, 6, "random", workers=2, timeout_secs=20, db=tmp_path / "r.db")
    assert (result.trials, result.failed, result.best) == (6, 0, {"x": 0})
    assert len({trial.values["x"] for trial in result.history}) == 6


@isolated
def test_workers_share_a_crash():
    def objective(x):
        if x == 2:
            os.abort()
        return x

    result = minimize(objective, {"x": range(8)}, 8, "random", workers=3)
    assert (result.trials, result.failed) == (8, 1)
    with pytest.raises(UsageError, match="workers"):
        minimize(objective, {"x": [1]}, 1, workers=2, isolated=False)


def test_finalists_are_measured_again(tmp_path):
    calls = []

    def lucky_once(x):
        calls.append(x)
        return -100 if x == 3 and calls.count(3) == 1 else x

    space = {"x": range(1, 9)}
    result = minimize(lucky_once, space, 8, "random", finalists=3, isolated=False, db=tmp_path / "r.db", name="n")
    assert (result.trials, result.best) == (8, {"x": 1})
    assert len(calls) == 8 + 3 * 3
    assert sorted(trial.values["x"] for trial in result.finalists) == [1, 2, 3]
    with open_database(tmp_path / "r.db") as database:
        records = database.records()
    assert [record.evidence for record in records].count(Evidence.FINALIST) == 3
    again = minimize(lucky_once, space, 8, "random", isolated=False, db=tmp_path / "r.db", name="n")
    assert (again.recorded, again.best) == (8, {"x": 1})


def test_a_callback_and_a_value_end_a_run():
    seen = []
    result = minimize(both_sum, SPACE, 100, "random", on_trial=lambda trial: seen.append(trial) or len(seen) == 7)
    assert result.trials == len(seen) == 7
    assert minimize(both_sum, SPACE, 100, "random", on_trial=seen.append).trials == 100
    valued = minimize(both_sum, SPACE, 100, "random", stop_value=4)
    assert valued.best_value <= 4
    assert all(trial.value > 4 for trial in valued.history[:-1])
    large = minimize(both_sum, SPACE, 100, "random", stop_value=15, direction="maximize")
    assert large.best_value >= 15
    assert large.trials < 100


@isolated
def test_a_trial_ends_with_the_budget(tmp_path):
    def sleeps(x):
        time.sleep(30)

    budget = flextune.Budget(minutes=0.5 / 60)
    started = time.perf_counter()
    result = minimize(sleeps, {"x": [1, 2]}, budget, "random", db=tmp_path / "r.db", timeout_secs=20)
    assert time.perf_counter() - started < 15
    assert [trial.status for trial in result.history] == [Status.RUN_TIMEOUT]
    with open_database(tmp_path / "r.db") as database:
        (record,) = database.records()
    assert "timeout_secs=20," not in record.protocol


def test_ask_and_tell():
    search = flextune.Search(
        SPACE, "auto", constraints="x + y < 12", default={"x": 9, "y": 0}, enqueue=[{"x": 1, "y": 1}]
    )
    search.tell({"x": 0, "y": 0}, 33.0)
    asked = [search.ask(), search.ask(), search.ask()]
    assert asked[:2] == [{"x": 9, "y": 0}, {"x": 1, "y": 1}]
    for values in reversed(asked):
        search.tell(values, None if values["x"] == 9 else both_sum(**values))
    while (values := search.ask()) is not None:
        search.tell(values, both_sum(**values))
    assert search.best.value == min(trial.value for trial in search.history if trial.ok)
    assert len(search.history) == search.space_size == 72
    assert [trial.error for trial in search.history if not trial.ok] == ["it failed"]
    for values, result in (
        ({"x": 9, "y": 9}, 1.0),
        ({"x": 1}, 1.0),
        ({"x": 1, "y": 1}, math.nan),
        ({"x": 1, "y": 1}, "1"),
    ):
        with pytest.raises(UsageError):
            search.tell(values, result)


def test_ask_and_tell_several_goals():
    search = flextune.Search({"x": range(10)}, "random", direction={"a": "minimize", "b": "minimize"})
    while (values := search.ask()) is not None:
        search.tell(values, {"a": values["x"] % 5, "b": -(values["x"] // 5)})
    assert [trial.values["x"] for trial in search.front] == [5]


@pytest.mark.parametrize("direction", ["max", {}, {"a": "up"}, {"a": 1}, None, {1: "minimize"}])
def test_directions_that_are_none(direction):
    with pytest.raises(UsageError, match="direction"):
        Goals.of(direction)


def test_ranges():
    assert flextune.Parameter.float_range("r", 0, 1, 0.1).values == tuple(each / 10 for each in range(11))
    assert flextune.Parameter.log_range("r", 1e-4, 1, 5).values == (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
    assert flextune.Parameter.log_range("n", 1, 1000, 4).values == (1, 10, 100, 1000)
    for arguments in ((0, 1, 0), (1, 0, 1), (0, 1, "x"), (0, math.inf, 1), (0, 1e9, 1e-9)):
        with pytest.raises(UsageError):
            flextune.Parameter.float_range("r", *arguments)
    for arguments in ((0, 1, 3), (2, 1, 3), (1, 2, 1), (1, 2, True), (1, 2, 2.5)):
        with pytest.raises(UsageError):
            flextune.Parameter.log_range("r", *arguments)
