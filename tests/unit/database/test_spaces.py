"""Kernel Tuner caches and T4 files as measured spaces: what they say is taken over, what is wrong is named."""

import gzip
import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flextune.csp.assignment import Assignment
from flextune.csp.parameters import Parameters
from flextune.database import tabular_file
from flextune.database.space_files import load_space, save_space
from flextune.errors import UsageError
from flextune.testing.tables import example_cache as cache
from flextune.testing.tables import example_t4 as t4
from flextune.testing.tables import write_table as written
from flextune.trial.measurement import Status
from flextune.trial.tabular import TabularSpace, TabularTrial


@pytest.mark.parametrize("name", ["space.json", "space.json.gz"])
def test_a_cache_file(tmp_path, name):
    space = load_space(written(tmp_path, cache(), name))
    assert (space.name, space.device, len(space)) == ("a kernel", "a device", 5)
    assert [parameter.values for parameter in space.parameters.parameters] == [
        (8, 16),
        ("-O2", "-O3"),
        (False, True),
        (0.5, 2),
    ]
    first = space.trials[0]
    assert first.run_secs == (0.001, 0.003)
    assert (first.secs, first.build_secs, first.benchmark_secs, first.charged_secs) == (0.002, 0.5, 0.25, 0.75)
    assert space.parameters.decode(first.assignment) == {"tile": 8, "level": "-O2", "pad": False, "scale": 0.5}
    assert [(trial.status, trial.error) for trial in space.trials[1:]] == [
        (Status.OK, ""),
        (Status.BUILD_ERROR, "CompilationFailedConfig"),
        (Status.RUN_ERROR, "RuntimeFailedConfig"),
        (Status.INFEASIBLE, "InvalidConfig"),
    ]
    assert space.optimum_secs == 0.002
    assert space.solutions.count == 5


@pytest.mark.parametrize("name", ["space.json", "space.json.gz"])
def test_a_t4_file(tmp_path, name):
    space = load_space(written(tmp_path, t4(), name))
    assert space.name == "space"
    assert [parameter.values for parameter in space.parameters.parameters] == [(8, 16), ("-O2", "-O3")]
    assert [trial.run_secs for trial in space.trials] == [(0.001, 0.003), (0.005,), (), ()]
    assert [trial.build_secs for trial in space.trials] == [0.5, 0.1, 0.01, 0]
    assert [trial.benchmark_secs for trial in space.trials] == [0.004, 0.04, 0, 0]
    assert [(trial.status, trial.error) for trial in space.trials[2:]] == [
        (Status.RUN_ERROR, "RuntimeFailedConfig"),
        (Status.RUN_TIMEOUT, "timeout"),
    ]


@pytest.mark.parametrize(("unit", "secs"), [("seconds", 2.0), ("s", 2.0), ("Milliseconds", 2e-3), ("us", 2e-6)])
def test_units_of_t4(tmp_path, unit, secs):
    data = t4()
    data["metadata"]["timeunit"] = unit
    assert load_space(written(tmp_path, data)).trials[0].secs == pytest.approx(secs)


def test_a_cache_that_is_still_open(tmp_path):
    text = json.dumps(cache(), indent="")
    path = written(tmp_path, text[: text.rindex('"8,-O3,False,2"')].rstrip().encode())
    assert len(load_space(path)) == 4


def test_texts_with_commas_need_the_entry(tmp_path):
    data = cache()
    data["tune_params"] = {"a": ["x,y", "z"], "b": [1]}
    data["tune_params_keys"] = ["a", "b"]
    data["cache"] = {"x,y,1": {"a": "x,y", "b": 1, "time": 1.0}, "z,1": {"time": 2.0}}
    space = load_space(written(tmp_path, data))
    assert [space.parameters.decode(each.assignment)["a"] for each in space.trials] == ["x,y", "z"]


def entry(data):
    return data["cache"]["8,-O2,False,0.5"]


def broken(change, of=cache):
    data = of()
    change(data)
    return data


def renamed(data, old, new):
    data["cache"][new] = data["cache"].pop(old)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.pop("tune_params"), "lacks 'tune_params'"),
        (lambda d: d.pop("tune_params_keys"), "lacks 'tune_params_keys'"),
        (lambda d: d.pop("cache"), "lacks 'cache'"),
        (lambda d: d["tune_params"].pop("tile"), "lacks 'tile'"),
        (lambda d: d["tune_params_keys"].remove("tile"), "'tile' is not among tune_params_keys"),
        (lambda d: d.update(cache={}), "holds no configurations"),
        (lambda d: d.update(cache=[]), "cache: expected an object"),
        (lambda d: d.update(kernel_name=3), "kernel_name: expected a text"),
        (lambda d: d.update(schema_version="2.0.0"), "version '2.0.0'; this flextune reads version 1"),
        (lambda d: d["tune_params"].update(tile=[]), "'tile' has no values"),
        (lambda d: d["tune_params"].update(tile=[None]), "tile"),
        (lambda d: d["tune_params"].update(tile=[[1]]), "tune_params"),
        (lambda d: d["tune_params"].update(tile=8), "tile: expected a list"),
        (lambda d: d["tune_params_keys"].append("tile"), "'tile' is declared more than once"),
        (
            lambda d: renamed(d, "16,-O3,True,2", "32,-O3,True,2"),
            "entry '32,-O3,True,2': '32' is not among the values of",
        ),
        (
            lambda d: renamed(d, "16,-O3,True,2", "16,-O3,True"),
            "entry '16,-O3,True': expected 4 values in the key, got 3",
        ),
        (lambda d: renamed(d, "16,-O3,True,2", "16,-O3,True,2,1"), "expected 4 values in the key, got 5"),
        (lambda d: entry(d).update(tile=16), "the entry says tile=16"),
        (lambda d: entry(d).pop("time"), "entry '8,-O2,False,0.5' lacks 'time'"),
        (lambda d: d["cache"].update({"8,-O2,False,0.5": 3}), "entry '8,-O2,False,0.5': expected an object, got 3"),
        (lambda d: entry(d).update(time="3.5"), "time: expected a number or the name of a failure"),
        (lambda d: entry(d).update(times=[1.0, "2"]), "expected times in milliseconds, got '2'"),
        (lambda d: entry(d).update(times=[1.0, -2]), "got -2"),
        (lambda d: entry(d).update(times=5), "times: expected a list"),
        (lambda d: entry(d).update(times=None, time=True), "got True"),
        (lambda d: entry(d).update(compile_time="x"), "compile_time: expected a time"),
        (lambda d: entry(d).update(benchmark_time=-1), "benchmark_time: expected a time"),
    ],
)
def test_a_damaged_cache_is_named_with_the_place(tmp_path, change, message):
    path = written(tmp_path, broken(change))
    with pytest.raises(UsageError) as refused:
        load_space(path)
    assert message in str(refused.value)
    assert str(path) in str(refused.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.pop("schema_version"), "lacks 'schema_version'"),
        (lambda d: d.update(schema_version="2.1.0"), "T4 of version '2.1.0'; this flextune reads version 1.0.0"),
        (lambda d: d.update(schema_version=1), "T4 of version 1"),
        (lambda d: d.update(results=[]), "holds no configurations"),
        (lambda d: d.update(results={}), "results: expected a list"),
        (lambda d: d["metadata"].update(timeunit="fortnights"), "timeunit: expected one of"),
        (lambda d: d.update(metadata=[]), "metadata: expected an object"),
        (lambda d: d["results"][1].pop("configuration"), "result 1 lacks 'configuration'"),
        (lambda d: d["results"][1]["configuration"].pop("tile"), "result 1: parameter 'tile' is not in every"),
        (lambda d: d["results"][1]["configuration"].update(tile=None), "result 1: configuration: tile"),
        (lambda d: d["results"].append(d["results"][0]), "result 4: the configuration"),
        (lambda d: d["results"][1].update(invalidity="odd"), "invalidity: expected one of correct"),
        (lambda d: d["results"][1].pop("invalidity"), "result 1 lacks 'invalidity'"),
        (lambda d: d["results"][1].pop("times"), "result 1 lacks 'times'"),
        (lambda d: d["results"][0]["times"].update(runtimes=["x"]), "runtimes: expected a time"),
        (lambda d: d["results"][0]["times"].update(runtimes=[-1.0]), "runtimes: expected a time"),
        (lambda d: d["results"][1].pop("measurements"), "neither runtimes nor a measurement"),
        (lambda d: d["metadata"].update(flextune={"parameters": {"tile": [8], "level": ["-O2", "-O3"]}}), "16 is none"),
    ],
)
def test_damaged_t4_is_named_with_the_place(tmp_path, change, message):
    path = written(tmp_path, broken(change, t4))
    with pytest.raises(UsageError) as refused:
        load_space(path)
    assert message in str(refused.value)
    assert str(path) in str(refused.value)


def test_files_that_are_no_json(tmp_path, monkeypatch):
    packed = gzip.compress(json.dumps(cache()).encode())
    deep = b"[" * 100_000
    for data, message in (
        (b"", "damaged"),
        (b"[]", "expected one JSON object"),
        (b'{"a": 1}', "neither a Kernel Tuner cache"),
        (b"\xff\xfe\x00", "no UTF-8 text"),
        (b'{"cache": {', "damaged"),
        (packed[: len(packed) // 2], "cut off"),
        (packed[:20] + b"xxxx" + packed[24:], "damaged"),
        (deep, "damaged"),
        (b'{"cache": {"a": 1, "a": 2}}', "key 'a' is there twice"),
        (b'{"results": ' + b"9" * 10_000 + b"}", "damaged"),
    ):
        with pytest.raises(UsageError, match=message):
            load_space(written(tmp_path, data))
    with pytest.raises(UsageError, match="No such file"):
        load_space(tmp_path / "none.json")
    with pytest.raises(UsageError, match="cannot be read"):
        load_space(tmp_path)
    monkeypatch.setattr(tabular_file, "MAX_BYTES", 400)
    with pytest.raises(UsageError, match="holds more than"):
        load_space(written(tmp_path, cache(), "large.json.gz"))


def nodes(value, path=()):
    yield path
    if isinstance(value, dict):
        for key, item in value.items():
            yield from nodes(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from nodes(item, (*path, index))


def refusal(path):
    """The message of the `UsageError` that a file is refused with; empty for one that is a space."""
    try:
        load_space(path)
    except UsageError as refused:
        return str(refused)
    return ""


def test_changed_files_are_read_or_refused(tmp_path):
    """Any one value of a file replaced by any other: never anything but a space or a `UsageError`."""
    values = (None, True, -1, 10**30, float("nan"), "", "x,1", [[1]], {"a": 1})
    for of in (cache, t4):
        for place in nodes(of()):
            if not place:
                continue
            for value in values:
                data = of()
                inner = data
                for part in place[:-1]:
                    inner = inner[part]
                inner[place[-1]] = value
                path = written(tmp_path, data)
                assert str(path) in (refusal(path) or str(path))


def test_changed_bytes_are_read_or_refused(tmp_path):
    rng = random.Random(0)
    for of, name in ((cache, "space.json"), (t4, "space.json.gz")):
        whole = written(tmp_path, of(), name).read_bytes()
        for _ in range(150):
            data = bytearray(whole[: rng.randrange(1, len(whole) + 1)])
            for _ in range(rng.randrange(3)):
                data[rng.randrange(len(data))] = rng.randrange(256)
            (tmp_path / name).write_bytes(data)
            assert name in (refusal(tmp_path / name) or name)


PARAMETERS = st.dictionaries(
    st.text("abc", min_size=1, max_size=3),
    st.lists(
        st.one_of(st.booleans(), st.integers(-(2**40), 2**40), st.floats(-1e6, 1e6), st.text("xy -", max_size=3)),
        min_size=1,
        max_size=4,
        unique=True,
    ),
    min_size=1,
    max_size=3,
).map(Parameters.of)


@st.composite
def measured_spaces(draw):
    parameters = draw(PARAMETERS)
    configurations = st.fixed_dictionaries({each.name: st.sampled_from(each.values) for each in parameters.parameters})
    drawn = draw(st.lists(configurations, min_size=1, max_size=6))
    assignments = list(dict.fromkeys(map(parameters.encode, drawn)))
    secs = st.floats(1e-9, 1e3)
    trials = [
        draw(
            st.one_of(
                st.builds(
                    TabularTrial,
                    st.just(assignment),
                    st.just(Status.OK),
                    st.lists(secs, min_size=1, max_size=3).map(tuple),
                    st.just(""),
                    secs,
                    secs,
                ),
                st.builds(TabularTrial, st.just(assignment), st.just(Status.RUN_ERROR), build_secs=secs),
            )
        )
        for assignment in assignments
    ]
    return TabularSpace("some program", parameters, tuple(trials), "some device")


@given(measured_spaces(), st.sampled_from(["t4", "kernel-tuner"]), st.sampled_from([".json", ".json.gz"]))
@settings(max_examples=60)
def test_a_space_comes_back_from_either_format(tmp_path_factory, space, format, suffix):
    path = tmp_path_factory.getbasetemp() / f"space{suffix}"
    save_space(space, path, format)
    found = load_space(path)
    assert (found.name, found.device, found.parameters) == (space.name, space.device, space.parameters)
    assert [trial.assignment for trial in found.trials] == [trial.assignment for trial in space.trials]
    assert [trial.status for trial in found.trials] == [trial.status for trial in space.trials]
    for ours, theirs in zip(space.trials, found.trials, strict=True):
        assert theirs.run_secs == pytest.approx(ours.run_secs, rel=1e-12)
        assert theirs.build_secs == pytest.approx(ours.build_secs, rel=1e-12)
        assert theirs.benchmark_secs == pytest.approx(ours.benchmark_secs, rel=1e-12)


def test_what_a_cache_cannot_hold(tmp_path):
    trial = TabularTrial(Assignment({"time": 1}), Status.OK, (1.0,))
    with pytest.raises(UsageError, match="parameter named 'time'"):
        save_space(TabularSpace("n", Parameters.of({"time": [1]}), (trial,)), tmp_path / "x.json", "kernel-tuner")
    parameters = Parameters.of({"a": ["x", "x,y"], "b": ["z", "y,z"]})
    same = [{"a": "x", "b": "y,z"}, {"a": "x,y", "b": "z"}]
    trials = tuple(TabularTrial(parameters.encode(values), Status.OK, (1.0,)) for values in same)
    with pytest.raises(UsageError, match="same key"):
        save_space(TabularSpace("n", parameters, trials), tmp_path / "x.json", "kernel-tuner")
    with pytest.raises(UsageError, match="unknown format 't5': expected one of kernel-tuner, t4"):
        save_space(TabularSpace("n", parameters, trials), tmp_path / "x.json", "t5")


def test_spaces_check_themselves():
    parameters = Parameters.of({"a": [1, 2]})
    ok = TabularTrial(Assignment({"a": 1}), Status.OK, (1.0,))
    for trials, message in (
        ((), "holds no configurations"),
        ((ok, ok), "more than once"),
        ((TabularTrial(Assignment({"a": 1}), Status.OK),), "with times"),
        ((TabularTrial(Assignment({"a": 1}), Status.RUN_ERROR, (1.0,)),), "with times"),
    ):
        with pytest.raises(UsageError, match=message):
            TabularSpace("n", parameters, trials)
