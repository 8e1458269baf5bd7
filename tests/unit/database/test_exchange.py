"""Records that travel as Kernel Tuner caches and T4 files come back equal, field by field."""

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flextune.csp.parameter_space import parameters_json
from flextune.csp.parameters import Parameters
from flextune.database.exchange import configuration, export_table, import_table
from flextune.database.space_files import load_space
from flextune.database.store import open_database
from flextune.errors import UsageError
from flextune.testing.databases import example_record
from flextune.trial.measurement import Status
from flextune.trial.record import TuningRecord

FORMATS = ("kernel-tuner", "t4")
PARAMETERS = Parameters.of({"level": ["-O2", "-O3", "-O1, -g"], "tile": [8, 16], "fast": [True, False]})


def objective_record(parameters=PARAMETERS, values=None, **changes):
    values = values or {"level": "-O3", "tile": 8, "fast": True}
    fields = json.loads(example_record(1, 0.1).to_json()) | {
        "workload": "objective:app",
        "body": "name:app",
        "trace": parameters_json(parameters),
        "assignment": str(parameters.encode(values)),
    }
    return TuningRecord.from_json(json.dumps(fields | changes))


def round_trip(records, folder, format, name="r.json"):
    export_table(records, folder / name, format)
    (folder / "back.db").unlink(missing_ok=True)
    with open_database(folder / "back.db") as database:
        report = import_table(database, folder / name)
        again = import_table(database, folder / name)
        assert (report.imported, report.duplicates) == (len(set(records)), len(records) - len(set(records)))
        assert (again.imported, again.duplicates) == (0, len(records))
        return database.records()


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("name", ["r.json", "r.json.gz"])
def test_schedules_come_back_equal(tmp_path, format, name):
    records = [
        example_record(2, 0.1),
        example_record(3, None, error='two\nlines, "quoted" é'),
        example_record(2, 0.30000000000000004),
        replace(example_record(5, 0.2), trace="another form of the space", assignment="x=1,y=2"),
        example_record(2, 0.2),
    ]
    assert round_trip(records, tmp_path, format, name) == records


@pytest.mark.parametrize("format", FORMATS)
def test_other_tools_see_the_latest_of_each_configuration(tmp_path, format):
    records = [example_record(2, 0.1), example_record(3, None), example_record(2, 0.5)]
    export_table(records, tmp_path / "r.json", format)
    space = load_space(tmp_path / "r.json")
    names = list(configuration(records[0]))
    assert list(space.parameters.names) == names
    assert [trial.secs for trial in space.trials if trial.status is Status.OK] == [pytest.approx(records[2].secs)]
    assert len(space) == 2


@given(
    st.lists(
        st.builds(
            objective_record,
            values=st.fixed_dictionaries(
                {
                    "level": st.sampled_from(["-O2", "-O3", "-O1, -g"]),
                    "tile": st.sampled_from([8, 16]),
                    "fast": st.booleans(),
                }
            ),
            run_secs=st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=3),
            error=st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
            seed=st.integers(0, 5),
            max_error=st.one_of(st.none(), st.floats(0, 1)),
            status=st.sampled_from(["ok", "wrong_output"]),
        ),
        min_size=1,
        max_size=6,
    ),
    st.sampled_from(FORMATS),
)
@settings(max_examples=20)
def test_objectives_come_back_equal(tmp_path_factory, records, format):
    found = round_trip(records, tmp_path_factory.mktemp("r"), format)
    assert found == list(dict.fromkeys(records))


@pytest.mark.parametrize("format", FORMATS)
def test_parameters_that_changed_between_runs(tmp_path, format):
    wider = Parameters.of({"level": ["-O2", "-O3", "-O1, -g", "-Ofast"], "tile": [8, 16, 32], "fast": [True, False]})
    other = Parameters.of({"tile": [8]})
    records = [
        objective_record(),
        objective_record(other, {"tile": 8}),
        objective_record(wider, {"level": "-Ofast", "tile": 32, "fast": False}),
    ]
    assert round_trip(records, tmp_path, format) == records
    assert len(load_space(tmp_path / "r.json")) == 2


def test_one_workload_at_a_time(tmp_path):
    for records in ([], [example_record(1), example_record(1, workload_key="other")]):
        with pytest.raises(UsageError, match="one workload on one target"):
            export_table(records, tmp_path / "r.json", "t4")


@pytest.mark.parametrize("format", FORMATS)
def test_damaged_files_add_nothing(tmp_path, format):
    export_table([example_record(1), example_record(2)], tmp_path / "r.json", format)
    whole = (tmp_path / "r.json").read_text()
    for old, new, message in (
        ('"seed":', '"sed":', "lacks 'seed'"),
        ('"flextune":[[1', '"flextune":[["1"', "expected a number and a record"),
        ('"flextune":[[', '"flaxtune":[[', "lacks 'flextune'"),
        ('"flextune":{', '"flaxtune":{', "holds no records of flextune"),
        ('"format":1,"others"', '"format":2,"others"', "format 2; this flextune reads format 1"),
    ):
        assert old in whole
        (tmp_path / "r.json").write_text(whole.replace(old, new))
        with open_database(tmp_path / "x.db") as database:
            with pytest.raises(UsageError, match=message):
                import_table(database, tmp_path / "r.json")
            assert database.records() == []
