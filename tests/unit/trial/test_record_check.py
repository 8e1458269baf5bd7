"""Records from files: what they hold can be shown and rebuilt, and their programs may only compute."""

from __future__ import annotations

import json

import pytest
from tvm import ir, tirx
from tvm.ir import save_json

from flextune.database.jsonl import import_jsonl
from flextune.database.store import open_database
from flextune.errors import UsageError
from flextune.testing.databases import example_record
from flextune.trial.record import TuningRecord
from flextune.workload import Workload, from_prim_func, parse_workload
from flextune.workload.workload import program_sha


def line(workload: str, body: str | None, **changes: object) -> str:
    values = json.loads(example_record(1).to_json())
    return json.dumps({**values, "workload": workload, "body": body, **changes})


def forged_body() -> str:
    """A program that runs a command."""
    func = parse_workload("gemm:m=4,n=4,k=4").prim_func()
    call = tirx.Evaluate(tirx.call_extern("int32", "system", ir.StringImm("true")))
    block = func.body.block
    outer = tirx.SeqStmt([block.body, call])
    body = type(func.body)([], True, type(block)([], [], [], "root", outer, alloc_buffers=block.alloc_buffers))
    return str(save_json(tirx.PrimFunc(func.params, body, attrs=func.attrs)))


def honest() -> Workload:
    return from_prim_func(parse_workload("gemm:m=4,n=4,k=4").prim_func(), "gemm")


def test_honest_programs_are_read() -> None:
    workload = honest()
    assert TuningRecord.from_json(line(str(workload), workload.body)).body == workload.body


def test_workloads_of_others_operators_are_read() -> None:
    """They may be known where the record came from."""
    assert TuningRecord.from_json(line("fft:n=4", None)).workload == "fft:n=4"


def test_programs_that_run_something_are_refused() -> None:
    body = forged_body()
    with pytest.raises(UsageError, match=r"it calls tirx\.call_extern"):
        TuningRecord.from_json(line(f"tir:name=gemm,sha={program_sha(body)}", body))


@pytest.mark.parametrize("workload", ["tir:name=gemm,sha=h0123456789abcdef", "tir:", "tir", " tir:name=a"])
def test_programs_that_are_not_what_their_workload_names_are_refused(workload: str) -> None:
    for body in (honest().body, None, ""):
        with pytest.raises(UsageError, match="tir"):
            TuningRecord.from_json(line(workload, body))


@pytest.mark.parametrize(
    ("trace", "assignment"),
    [
        ("[]", "x=0"),
        ("{}", "x=0"),
        ('{"x": 4}', "x=0"),
        ('{"x": [1, 2]}', "y=0"),
        ('{"x": [1, 2]}', ""),
        ('{"x": [1, 2]}', "x=7"),
        ('{"x": [[1], {}]}', "x=0"),
        ('{"x": [null]}', "x=0"),
        ("[" * 100_000, "x=0"),
    ],
)
def test_objectives_whose_values_cannot_be_told_are_refused(trace: str, assignment: str) -> None:
    with pytest.raises(UsageError):
        TuningRecord.from_json(line("objective:x", "x", trace=trace, assignment=assignment))


def test_an_import_names_the_lines_and_goes_on(tmp_path) -> None:
    body, good = forged_body(), honest()
    lines = [
        line(str(good), good.body),
        line(f"tir:name=gemm,sha={program_sha(body)}", body),
        line("objective:x", "x"),
        line("gemm:m=4,n=4,k=4", None),
    ]
    (tmp_path / "records.jsonl").write_text("\n".join(lines))
    with open_database(tmp_path / "r.db") as database:
        report = import_jsonl(database, tmp_path / "records.jsonl")
        assert [damaged.line for damaged in report.damaged] == [2, 3]
        assert "may only compute" in report.damaged[0].reason
        assert len(database.records()) == report.imported == 2
