"""What files of other tuners count beside time, and own files of numbers without a unit."""

import gzip
import json

import pytest

from flextune.database.exchange import export_table, import_table
from flextune.database.space_files import load_space
from flextune.database.store import open_database
from flextune.errors import UsageError
from flextune.trial.measurement import Status
from flextune.tuning.minimize import minimize
from flextune.tuning.replayed_search import replay_run


@pytest.mark.parametrize("format", ["kernel-tuner", "t4"])
@pytest.mark.parametrize("values", [(-3.0, 0.0, 2.0), (0.0, 0.0, 0.0), (1.0, 2.0, 4.0), (-5.0, -4.0, -1e9)])
def test_numbers_of_any_sign_come_back(format, values, tmp_path):
    with open_database(tmp_path / "r.db") as database:
        minimize(lambda x: values[x], {"x": [0, 1, 2]}, 3, "random", db=database, isolated=False, name="n")
        export_table(database.records(), tmp_path / "t.json", format)
        exported = (tmp_path / "t.json").read_text()
    assert '"ms"' not in exported
    with open_database(tmp_path / "other.db") as other:
        assert import_table(other, tmp_path / "t.json").imported == 3
        assert {record.run_secs for record in other.records()} == {(value,) for value in values}
    space = load_space(tmp_path / "t.json")
    assert space.objective == "value"
    found = replay_run(space, "random", trials=3)
    assert values[space.parameters.decode(found.best)["x"]] == min(values)
    assert all(secs > 0 for secs in space.secs)


def cache(objective, entries):
    return {
        "kernel_name": "k",
        "device_name": "d",
        "tune_params_keys": ["x"],
        "tune_params": {"x": list(range(len(entries)))},
        "objective": objective,
        "cache": {str(x): {"x": x, **entry} for x, entry in enumerate(entries)},
    }


def written(tmp_path, data):
    path = tmp_path / "cache.json.gz"
    path.write_bytes(gzip.compress(json.dumps(data).encode()))
    return path


@pytest.mark.parametrize(("objective", "best"), [("time", 0), ("GFLOP/s", 2), ("energy", 1)])
def test_the_objective_of_a_cache_counts(objective, best, tmp_path):
    entries = [{"time": 1 + x, "GFLOP/s": 5.0 * x + 1, "energy": abs(x - 1) + 0.5} for x in range(3)]
    space = load_space(written(tmp_path, cache(objective, entries)))
    found = replay_run(space, "random", trials=3)
    assert space.parameters.decode(found.best) == {"x": best}
    assert found.fraction_after(3) == 1.0


def test_failures_of_other_objectives(tmp_path):
    entries = [{"time": 1.0, "energy": 2.0}, {"time": "RuntimeFailedConfig"}, {"time": 1.0, "energy": "InvalidConfig"}]
    trials = load_space(written(tmp_path, cache("energy", entries))).trials
    assert [trial.status for trial in trials] == [Status.OK, Status.RUN_ERROR, Status.INFEASIBLE]


def test_an_objective_that_is_not_known_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"'happiness'.*GFLOP/s"):
        load_space(written(tmp_path, cache("happiness", [{"time": 1.0, "happiness": 3}])))


def test_a_time_of_zero_costs_its_entry(tmp_path):
    space = load_space(written(tmp_path, cache("time", [{"time": 0.0}, {"time": 1.0}])))
    assert [trial.status for trial in space.trials] == [Status.RUN_ERROR, Status.OK]
