"""`flextune pretrain` and `tune --pretrained`, on the platform without hardware."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from flextune.database.store import open_database
from flextune.platforms import platform_registry
from flextune.platforms.null.kernel import null_secs
from flextune.target.target import Target
from flextune.trial.measurement import Candidate, Measurement, Status
from flextune.trial.record import Provenance, TuningRecord
from flextune.workload.parse import parse_workload

Run = Callable[..., tuple[int, str, str]]
NULL = ("--target", "null:cpu=none,cores=1")


@pytest.fixture
def recorded(run: Run, tmp_path: Path) -> Run:
    """The command in a folder with records of two workloads in flextune.db."""
    target = Target.parse(NULL[1])
    with open_database(tmp_path / "flextune.db") as database:
        for workload in map(parse_workload, ("gemm:m=16,n=16,k=16", "gemm:m=32,n=8,k=16")):
            space = platform_registry.get("null").search_space(workload, target)
            database.commit_all(
                TuningRecord.of(
                    Candidate(workload, target, space.trace, assignment),
                    Measurement(assignment, Status.OK, (null_secs(assignment),)),
                    Provenance("repeats=1", "flextune=test", 0, "random+none", "host"),
                )
                for assignment in space.solutions.sample_distinct(np.random.default_rng(0), 40)
            )
    return run


def test_a_model_from_records_and_a_run_from_the_model(recorded: Run, tmp_path: Path) -> None:
    code, out, err = recorded("pretrain", *NULL)
    assert (code, err) == (0, "")
    assert "flextune.cost-model.json: learned from 80 records of 2 workloads" in out
    assert "gemm           80" in out
    assert "--pretrained flextune.cost-model.json" in out
    workload = ("tune", "gemm:m=24,n=16,k=16", *NULL, "--trials", "24", "--json")
    code, out, err = recorded(*workload, "--pretrained", "flextune.cost-model.json")
    assert code == 0, err
    assert json.loads(out)["trials"] == 24
    code, out, _ = recorded("records", "export", "all.jsonl", "--json")
    records = [json.loads(line) for line in (tmp_path / "all.jsonl").read_text().splitlines()]
    assert any(record.get("pretrained") for record in records)


def test_json(recorded: Run, tmp_path: Path) -> None:
    code, out, _ = recorded("pretrain", *NULL, "--out", "model.json", "--loss", "ranking", "--json")
    assert code == 0
    found = json.loads(out)
    assert (found["model"], found["loss"], found["tasks"], found["records"]) == ("model.json", "ranking", 2, 80)
    assert found["operators"] == {"gemm": 80}
    assert found["left_out"] == 0
    assert 0.5 < found["held_out_correlation"] <= 1
    assert json.loads((tmp_path / "model.json").read_text())["target"] == found["target"]


def test_records_of_another_target(recorded: Run) -> None:
    code, _, err = recorded("pretrain", "--target", "x86:cpu=znver3,cores=2")
    assert code == 2
    assert "no record of x86:cpu=znver3" in err


def test_a_model_of_another_target(recorded: Run) -> None:
    assert recorded("pretrain", *NULL, "--out", "model.json")[0] == 0
    code, _, err = recorded(
        "tune", "gemm:m=8,n=8,k=8", "--target", "null:cpu=none,cores=2", "--pretrained", "model.json"
    )
    assert code == 2
    assert "the pretrained model is of the target null:cpu=none,cores=1" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("pretrain", "--loss", "rank"), "unknown loss 'rank': expected one of regression, ranking"),
        (("tune", "gemm:m=8,n=8,k=8", "--pretrained", "no.json"), "pretrained model no.json: No such file"),
        (("tune", "gemm:m=8,n=8,k=8", "--pretrained", "bad.json"), "bad.json: expected a model that"),
        (("tune", "gemm:m=8,n=8,k=8", "--pretrained", "bad.json", "--cost-model", "none"), "'none' is none"),
        (("tune", "gemm:m=8,n=8,k=8", "--cost-model", "tres"), "did you mean 'trees'?"),
        (("tune", "gemm:m=8,n=8,k=8", "--cost-model-option", "los=x"), "did you mean 'loss'?"),
        (("tune", "gemm:m=8,n=8,k=8", "--cost-model-option", "loss"), "expected --cost-model-option NAME=VALUE"),
    ],
)
def test_bad_usage(run: Run, tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    (tmp_path / "bad.json").write_text("{}")
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert message in err
    assert "Traceback" not in err


def test_no_database(run: Run) -> None:
    code, _, err = run("pretrain", "--db", "none.db")
    assert code == 2
    assert "none.db" in err
