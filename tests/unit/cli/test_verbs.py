"""The verbs that need no code generation: show, replay, records, space, tune and run over the null platform."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from flextune.cli.replay import best_record, choose_record
from flextune.database.overview import overviews_of
from flextune.database.store import open_database
from flextune.errors import UsageError
from flextune.schedule.trace import Trace
from flextune.testing.databases import WORKLOAD, example_decision, example_record, example_verdict
from flextune.trial.measurement import Status
from flextune.trial.variant import Variant
from flextune.trial.variants_decision import VariantsDecision, VariantTimes, Verified
from flextune.workload.dim_expr import DimExpr
from flextune.workload.parse import parse_workload

Run = Callable[..., tuple[int, str, str]]
NULL = "null:cpu=none,cores=1"
GEMM = "gemm:m=16,n=16,k=16"


def fill(path: Path) -> None:
    """Three tiles, of which the fastest was found wrong later, and three failures of two causes."""
    crash = "killed by signal 11 at 0x7f{}"
    with open_database(path) as database:
        database.commit_all([example_record(1, 0.5), example_record(2, 0.1), example_record(3, 0.25)])
        wrong = example_record(2, None, error="element 3 differs")
        database.commit(replace(wrong, status=Status.WRONG_OUTPUT))
        database.commit_all(
            [example_record(8, None, error=crash.format(1)), example_record(9, None, error=crash.format(2))]
        )


def test_show_gives_the_best_and_failures_by_cause(run: Run, tmp_path: Path) -> None:
    fill(tmp_path / "r.db")
    code, out, _ = run("show", "--db", "r.db", "--json")
    assert code == 0
    shown = json.loads(out)["workloads"][0]
    assert (shown["trials"], shown["failed"]) == (5, 3)
    assert shown["best"]["secs"] == 0.25
    assert shown["best"]["assignment"] == "tile=3,unroll=1"
    assert shown["failures"] == [
        {"cause": "run_error: killed by signal # at @", "count": 2},
        {"cause": "wrong_output: element # differs", "count": 1},
    ]


def test_show_in_short(run: Run, tmp_path: Path) -> None:
    fill(tmp_path / "r.db")
    with open_database(tmp_path / "r.db") as database:
        database.decide([example_verdict("v"), example_decision("g", "fused")])
    code, out, _ = run("show", "--db", "r.db")
    assert code == 0
    lines = [line.split("  ") for line in out.splitlines()]
    assert lines[0][0] == "r.db: 5 trials of 1 workload, the last at 2025-01-31 12:00"
    model = next(line for line in lines if line[0] == "net")
    assert [cell.strip() for cell in model if cell][1:5] == ["2 ms", "1.5 ms", "1.33x", "tuned"]
    gemm = next(line for line in lines if line[0] == "gemm m=64 n=64 k=64")
    shown = ["500 ms", "250 ms", "2.00x", "5", "3", "2025-01-31 12:00", "each timed alone: could be chance"]
    assert [cell.strip() for cell in gemm if cell][1:8] == shown
    assert "tir:" not in out


@pytest.mark.parametrize(
    "name", ["gemm:m=64,n=64,k=64,dtype=float32", "gemm:k=64,m=64,n=64", "gemm m=64 n=64 k=64", WORKLOAD[:6]]
)
def test_show_goes_into_one(run: Run, tmp_path: Path, name: str) -> None:
    fill(tmp_path / "r.db")
    code, out, _ = run("show", name, "--db", "r.db")
    assert code == 0
    for part in ("5 trials, 3 failed", "500 ms before, 250 ms after: 2.00x", "best 250 ms", "tile=3,unroll=1"):
        assert part in out
    assert "run_error: killed by signal # at @      2" in out


def test_show_goes_into_a_model(run: Run, tmp_path: Path) -> None:
    group = example_decision("g", "fused")
    kernel = group.alternatives[0].workloads[0]
    with open_database(tmp_path / "r.db") as database:
        database.commit_all([example_record(1, 0.5, workload_key=kernel), example_record(2, 0.25)])
        database.decide([group, example_verdict("v")])
    for name in ("net", "folder/net.onnx"):
        code, out, _ = run("show", name, "--db", "r.db")
        assert code == 0
        assert "default 2 ms, tuned 1.5 ms; ships tuned" in out
        assert "1 trials, 0 failed, of 1 workloads" in out
    model = json.loads(run("show", "net", "--db", "r.db", "--json")[1])["models"][0]
    assert (model["workloads"], model["default_secs"], model["ships"]) == ([kernel], 2e-3, "tuned")


def test_show_fusion_in_short_and_in_full(run: Run, tmp_path: Path) -> None:
    with open_database(tmp_path / "r.db") as database:
        database.commit(example_record(1, 0.5, workload_key="g"))
        database.decide([example_decision("g", "fused"), example_verdict("v")])
    code, out, _ = run("show", "--fusion", "--db", "r.db")
    assert code == 0
    assert "r.db: 2 decisions (2 of net)" in out
    assert "gemm m=64 n=64 k=64" in out
    assert "predicted" not in out
    for name in ("g", "gemm m=64 n=64 k=64"):
        full = run("show", name, "--fusion", "--db", "r.db")[1]
        assert full.splitlines()[0] == "gemm m=64 n=64 k=64  (g, from net)"
        assert "predicted" in full
    assert "no decisions on other" in run("show", "other", "--fusion", "--db", "r.db")[2]


RANGES = "gemm:m=1..8,n=16,k=16,dtype=float32"


def _of_ranges() -> VariantsDecision:
    """Two of three schedules, from 5 rows on the second one; the third does not run."""
    schedules = [Variant((("m", m),), Trace(()), (("tile", m),)) for m in (4, 8, 1)]
    costs = (DimExpr.parse("7*m"), DimExpr.parse("30"), None)
    times = ((((1,), 7e-6), ((8,), 6e-5)), (((1,), 3e-5), ((8,), 3e-5)), ())
    candidates = tuple(map(VariantTimes, schedules, costs, times, ("", "", "no such tile")))
    return VariantsDecision(
        key="k", target_key="t", model=RANGES, reason="of a test", created="2026-01-01T00:00:00+00:00", name=RANGES,
        symbols=("m",), meanings=("m",), ranges=((1, 8),), loss=0.05, candidates=candidates, chosen=(0, 1),
        verified=(Verified((3,), 2e-5, 1e-5, 4e-5), Verified((7,), 3e-5, 3e-5, 6e-5)),
    )  # fmt: skip


def test_show_of_ranges_says_what_was_tried_chosen_and_gained(run: Run, tmp_path: Path) -> None:
    with open_database(tmp_path / "r.db") as database:
        database.decide([_of_ranges()])
    for arguments in (["gemm:m=1..8,n=16,k=16"], ["gemm:k=16,n=16,m=1..8", "--fusion"], [RANGES], ["k"]):
        code, out, _ = run("show", *arguments, "--db", "r.db")
        assert code == 0
        for part in (
            "trigger: m is known only in a run",
            "candidates: 3 schedules, 2 of them measured, 4 times in all",
            "failed: 1 of them: no such tile",
            "schedule 1: tile=8, made at m=8",
            "choice: m from 5: schedule 1",
            "before/after: 2.000x the speed by default",
            "regret: 1.414x",
        ):
            assert part in out
    code, _, err = run("show", "gemm:m=1..9,n=16,k=16", "--db", "r.db")
    assert code == 2
    assert "no records of gemm:m=1..9,n=16,k=16" in err
    assert run("show", "gemm:m=9..1,n=16,k=16", "--db", "r.db")[0] == 2


def test_show_writes_no_control_characters(run: Run, tmp_path: Path) -> None:
    evil = "\x1b[31m<b>"
    with open_database(tmp_path / "r.db") as database:
        database.decide([replace(example_verdict("v"), model=evil, reason=evil, failures=(evil,))])
        database.commit(replace(example_record(1, 0.5), workload=evil, target_key=evil, strategy=evil))
    for arguments in ([], [evil], ["--fusion"], [evil, "--fusion"], ["--schedule"]):
        code, out, _ = run("show", *arguments, "--db", "r.db")
        assert code == 0
        assert "\x1b" not in out
        assert "\\x1b[31m" in out


def test_show_says_when_there_is_nothing(run: Run, tmp_path: Path) -> None:
    open_database(tmp_path / "r.db").close()
    assert run("show", "--db", "r.db")[:2] == (0, "r.db holds no records\n")
    empty = {"db": "r.db", "models": [], "workloads": [], "ranges": []}
    assert json.loads(run("show", "--db", "r.db", "--json")[1]) == empty
    code, _, err = run("show", GEMM, "--db", "r.db")
    assert code == 2
    assert f"no records of {GEMM}" in err


def test_overviews_are_by_workload_and_target() -> None:
    records = [example_record(1, 0.5), example_record(1, 0.25, target_key="other"), example_record(2, None)]
    first, second = overviews_of(records)
    assert (first.candidates, first.failed) == (2, 1)
    assert (first.deciding, second.deciding) == ((records[0], records[2]), (records[1],))


def test_records_travel_as_json_lines(run: Run, tmp_path: Path) -> None:
    fill(tmp_path / "r.db")
    assert run("records", "export", "r.jsonl", "--db", "r.db")[0] == 0
    lines = (tmp_path / "r.jsonl").read_text().splitlines()
    assert len(lines) == 6
    (tmp_path / "r.jsonl").write_text("\n".join([lines[0], lines[1][:40], *lines[2:], '{"format": 1}']))
    code, out, err = run("records", "import", "r.jsonl", "--db", "other.db", "--json")
    assert code == 0
    report = json.loads(out)
    assert (report["imported"], [damage["line"] for damage in report["damaged"]]) == (5, [2, 7])
    assert "r.jsonl: line 2: " in err
    assert json.loads(run("records", "import", "r.jsonl", "--db", "other.db", "--json")[1])["duplicates"] == 5


def test_a_file_without_any_record_is_refused(run: Run, tmp_path: Path) -> None:
    fill(tmp_path / "r.db")
    assert run("records", "export", "r.json", "--db", "r.db", "--format", "t4")[0] == 0
    code, out, err = run("records", "import", "r.json", "--db", "other.db", "--json")
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert "r.json holds no jsonl records: line 1" in err
    assert "--format" in err


@pytest.mark.parametrize(
    "arguments",
    [
        ("records", "export", "r.db"),
        ("pretrain", "--out", "r.db"),
        ("compile", "m.onnx", "-o", "r.db"),
        ("compile", "m.onnx", "-o", "m.onnx"),
        ("inspect", "m.onnx", "--svg", "m.onnx"),
    ],
)
def test_records_and_models_are_not_overwritten(run: Run, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    fill(tmp_path / "r.db")
    (tmp_path / "m.onnx").write_bytes(b"a model")
    before = {name: (tmp_path / name).read_bytes() for name in ("r.db", "m.onnx")}
    code, _, err = run(*arguments, "--db", "r.db")
    assert code == 2
    assert "it is what is read" in err
    assert {name: (tmp_path / name).read_bytes() for name in before} == before


def test_a_record_is_chosen_by_id_or_workload() -> None:
    gemm = parse_workload("gemm:m=64,n=64,k=64")
    records = [
        replace(example_record(tile, secs), workload_key=gemm.key) for tile, secs in ((1, 0.5), (2, 0.25), (3, None))
    ]
    assert choose_record(records, records[0].key) == records[0]
    assert choose_record(records, records[2].key[:8]) == records[2]
    assert choose_record(records, str(gemm)) == records[1]
    assert choose_record(records, "gemm:k=64,m=64,n=64") == records[1]


def test_a_record_that_is_not_there_is_said() -> None:
    with pytest.raises(UsageError, match="no record has the id 'abcdef'"):
        choose_record([example_record(1)], "abcdef")
    with pytest.raises(UsageError, match=f"no record of {GEMM}"):
        choose_record([example_record(1)], GEMM)
    with pytest.raises(UsageError, match="none of the 1 records"):
        best_record([example_record(1, None)], example_record(1).workload)


def test_space_is_complete_and_its_problem_parses_back(run: Run) -> None:
    from flextune.csp import Assignment, Problem

    code, out, _ = run("space", GEMM, "--target", NULL, "--json")
    assert code == 0
    shown = json.loads(out)
    assert {variable["name"] for variable in shown["variables"]} == {"rows", "columns", "unroll", "area"}
    assert next(item for item in shown["constraints"] if item["kind"] == "Le")["reason"] == (
        "a tile holds at most 4096 elements"
    )
    solutions = Problem.parse(shown["problem"]).solve()
    assert solutions.count == shown["size"]
    assert Assignment(shown["default"]) in solutions


def test_space_for_people(run: Run) -> None:
    code, out, _ = run("space", GEMM, "--target", NULL)
    assert code == 0
    for part in ("variables", "constraints", "a tile holds at most 4096 elements", "default", "rows=1"):
        assert part in out


def test_tune_prints_one_object_and_resumes(run: Run) -> None:
    arguments = ("tune", GEMM, "--target", NULL, "--trials", "9", "--db", "r.db", "--json", "--strategy", "random")
    code, out, err = run(*arguments)
    first = json.loads(out)
    assert (code, first["trials"], first["db"], first["strategy"]) == (0, 9, "r.db", "random")
    assert first["best_secs"] <= first["default_secs"]
    assert "trials" in err
    code, out, _ = run(*arguments)
    again = json.loads(out)
    assert (code, again["trials"], again["best_secs"]) == (0, 9, first["best_secs"])
    code, out, _ = run("replay", GEMM, "--db", "r.db", "--json")
    replayed = json.loads(out)
    assert (code, replayed["status"], replayed["secs"]) == (0, "ok", first["best_secs"])


def test_tune_for_people(run: Run) -> None:
    code, out, _ = run("tune", GEMM, "--target", NULL, "--trials", "4", "--db", "r.db")
    assert code == 0
    for part in (GEMM, "best", "default", "4 (0 failed)", "r.db"):
        assert part in out


@pytest.mark.parametrize(
    ("option", "value", "part"),
    [
        ("--strategy", "cgaa", "unknown strategy 'cgaa'"),
        ("--strategy-option", "starts=3", "did you mean 'start'?"),
        ("--strategy-option", "start=many", "expected a whole number, got 'many'"),
        ("--strategy-option", "start=100000", "expected from 1 to 1000, got 100000"),
        ("--strategy-option", "start", "expected --strategy-option NAME=VALUE, got 'start'"),
        ("--cost-model", "tree", "unknown cost model 'tree'"),
        ("--seed", "-1", "seed"),
        ("--db", "no/folder/r.db", "no/folder"),
    ],
)
def test_tune_refuses(run: Run, option: str, value: str, part: str) -> None:
    code, out, err = run("tune", GEMM, "--target", NULL, "--trials", "3", option, value)
    assert code in (1, 2)
    assert out == ""
    assert part in err
    assert len(err.splitlines()) == 1


def test_replay_of_a_changed_record_ends_with_1(run: Run, tmp_path: Path) -> None:
    """The recorded assignment asks the null platform for a wrong output."""
    run("tune", GEMM, "--target", NULL, "--trials", "3", "--db", "r.db")
    with open_database(tmp_path / "r.db") as database:
        record = database.records()[0]
        database.commit(replace(record, assignment=record.assignment + ",fault=9", run_secs=(1e-9,)))
    code, out, err = run("replay", GEMM, "--db", "r.db", "--json")
    assert code == 1
    assert json.loads(out)["status"] == "wrong_output"
    assert "wrong_output" in err


def test_show_goes_on_after_a_schedule_that_cannot_be_read(run: Run) -> None:
    with open_database("r.db") as database:
        database.commit(replace(example_record(1, workload_key="other"), trace='[{"step": "nothing"}]'))
        database.commit(replace(example_record(2), trace="[]"))
    code, out, _ = run("show", "--schedule", "--db", "r.db")
    assert code == 0
    assert "the schedule cannot be read: unknown step" in out
    assert out.count("trials") == 2
