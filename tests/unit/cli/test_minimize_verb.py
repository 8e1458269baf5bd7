"""`flextune minimize` on commands and on measured spaces, and records in the formats of other tuners."""

import json
import sys

import pytest

from flextune.testing.tables import example_cache, write_table

APP = """
import os, sys, time
x, do = int(sys.argv[1]), sys.argv[2]
if do == "crash": os.abort()
if do == "hang": time.sleep(60)
if do == "garbage": sys.exit(print("hello"))
print("sum", 41 if do == "wrong" else 42, "cost", (x - 3) ** 2 - 1)
"""
SPEC = {
    "name": "app",
    "parameters": {"x": {"low": 0, "high": 6}, "do": ["fine", "crash", "hang", "garbage", "wrong"]},
    "constraints": ["do == 'fine' or x == 3"],
    "command": {"run": [sys.executable, "app.py", "{x}", "{do}"], "value": r"cost (\S+)", "expect": "sum 42"},
    "timeout_secs": 0.5,
}


@pytest.fixture
def spec(tmp_path):
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "spec.json").write_text(json.dumps(SPEC))


def test_a_command(run, spec):
    code, out, err = run("minimize", "spec.json", "--strategy", "random", "--json")
    found = json.loads(out)
    assert (code, err) == (0, "")
    assert (found["best"], found["best_value"]) == ({"x": 3, "do": "fine"}, -1.0)
    assert (found["trials"], found["failed"], found["space_size"], found["recorded"]) == (11, 4, 11, 0)
    assert {failure["cause"].partition(":")[0] for failure in found["failures"]} == {
        "run_error",
        "run_timeout",
        "wrong_output",
    }
    code, out, _ = run("minimize", "spec.json")
    assert code == 0
    assert "11 (4 failed, 7 recorded before) of 11" in out  # what failed gets one more chance
    code, out, _ = run("minimize", "spec.json")
    assert "best     -1" in out
    assert "x=3 do=fine" in out
    assert "11 (4 failed, 11 recorded before) of 11" in out


def test_its_records_are_shown_and_exchanged(run, spec):
    run("minimize", "spec.json", "--strategy", "random", "--trials", "6")
    title, _, shown = run("show")[1].partition("\n")
    assert "6 trials of 1 workload," in title
    assert shown.splitlines()[3].startswith("app ")
    best = json.loads(run("show", "--json")[1])["workloads"][0]["best"]
    assert set(best["values"]) == {"x", "do"}
    code, _, err = run("replay", "objective:app")
    assert (code, "no tensor program" in err) == (2, True)
    for format in ("t4", "kernel-tuner", "jsonl"):
        for name in ("r.json", "r.json.gz") if format != "jsonl" else ("r.jsonl",):
            assert "6 records of" in run("records", "export", name, "--format", format)[1]
            database = f"{format}{name}.db"
            assert (
                "6 records and 0 decisions added"
                in run("records", "import", name, "--format", format, "--db", database)[1]
            )
            again = json.loads(run("records", "import", name, "--format", format, "--db", database, "--json")[1])
            assert (again["imported"], again["duplicates"]) == (0, 6)
            assert run("show", "--db", database)[1].partition("\n")[2] == shown


def test_export_of_one_workload(run, spec, tmp_path):
    run("minimize", "spec.json", "--strategy", "random", "--trials", "2")
    other = SPEC | {"name": "other"}
    (tmp_path / "other.json").write_text(json.dumps(other))
    run("minimize", "other.json", "--strategy", "random", "--trials", "3")
    code, _, err = run("records", "export", "r.json", "--format", "t4")
    assert code == 2
    assert "choose with --workload" in err
    assert "objective:app" in err
    for format in ("t4", "jsonl"):
        assert "3 records" in run("records", "export", "r", "--format", format, "--workload", "objective:other")[1]
    code, _, err = run("records", "export", "r.json", "--format", "t5")
    assert (code, "unknown format 't5'" in err) == (2, True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"parameters": {"x": []}}, "spec.json: parameter 'x' has no values"),
        ({"parameters": {"x": {"low": 3}}}, "give a list of values, or 'low' and 'high'"),
        ({"parameters": {"x": {"low": 3, "high": 1}}}, "low <= high"),
        ({"parameters": {"x": {"low": 5, "high": 7, "powers_of_two": True}}}, "no power of two"),
        ({"parameters": {"x": {"lo": 3}}}, "unknown key 'parameters.x.lo'"),
        ({"parameters": {"x": [1, None]}}, "expected a number, a text or a truth value, got None"),
        ({"parameters": [1]}, "spec.json: parameters: "),
        ({"constraints": ["X < 3"]}, "unknown parameter 'X'"),
        ({"constraints": ["__import__('os')"]}, "is not supported"),
        ({"constraints": ["x > 99"]}, "no configuration is feasible"),
        ({"command": "ls {x}"}, "expected a list of words"),
        ({"command": {"run": ["ls"], "exepct": "a"}}, "did you mean 'expect'"),
        ({"command": [sys.executable, "{x}", "{y}"]}, "unknown placeholder {y}"),
        ({"comand": ["ls"]}, "unknown key 'comand': expected one of parameters"),
        ({"repeats": 0}, "repeats must be at least 1"),
        ({"timeout_secs": "soon"}, "timeout_secs: input should be a valid number"),
        ({"timeout_secs": -1}, "timeout_secs: input should be greater than 0"),
        ({"default": {"x": 1}}, "'do' has no value"),
    ],
)
def test_bad_specs(run, spec, tmp_path, change, message):
    (tmp_path / "spec.json").write_text(json.dumps(SPEC | change))
    code, out, err = run("minimize", "spec.json", "--trials", "3")
    assert (code, out) == (2, "")
    assert message in err
    assert len(err.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "give a SPEC.json or --replay FILE"),
        (("spec.json", "--replay", "x.json"), "give a SPEC.json or --replay FILE"),
        (("none.json",), "none.json cannot be read"),
        (("spec.json", "--trials", "0"), "trials must be positive"),
        (("spec.json", "--seconds", "-1"), "seconds must be positive"),
        (("spec.json", "--strategy", "rondom"), "did you mean 'random'"),
        (("spec.json", "--strategy-option", "x"), "expected --strategy-option NAME=VALUE"),
        (("--replay", "none.json"), "none.json cannot be read"),
        (("--replay", "spec.json"), "neither a Kernel Tuner cache"),
    ],
)
def test_bad_arguments(run, spec, arguments, message):
    code, _, err = run("minimize", *arguments)
    assert code == 2
    assert message in err


def test_nothing_that_runs_is_an_error(run, spec, tmp_path):
    (tmp_path / "spec.json").write_text(json.dumps(SPEC | {"constraints": ["do == 'garbage'"]}))
    code, out, err = run("minimize", "spec.json", "--trials", "2")
    assert code == 1
    assert "2 failed" in out
    assert "no configuration ran: wrong_output" in err


def test_a_measured_space(run, tmp_path):
    write_table(tmp_path, example_cache())
    code, out, _ = run("minimize", "--replay", "space.json", "--strategy", "random", "--json")
    found = json.loads(out)
    assert code == 0
    assert (found["evaluations"], found["failed"], found["fraction_of_optimum"]) == (5, 3, 1.0)
    assert found["best"] == {"tile": 8, "level": "-O2", "pad": False, "scale": 0.5}
    code, out, _ = run("minimize", "--replay", "space.json", "--strategy", "random", "--seconds", "100")
    assert "a kernel on a device, 5 configurations, random" in out
    assert "100.0% of the optimum's speed" in out
    code, _, err = run("minimize", "--replay", "space.json", "--seconds", "0.00001")
    assert (code, "none of the 0 configurations" in err) == (1, True)
