"""A database of format 1, as the version before wrote it: read without loss, and used as before."""

from __future__ import annotations

import json
import lzma
import sqlite3
from collections import Counter
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flextune.cli.main import app
from flextune.database.database import Database
from flextune.database.jsonl import export_jsonl, import_jsonl
from flextune.database.rows import record_rows
from flextune.database.store import open_database
from flextune.importing.model import load_model
from flextune.lowering.precision.precision import Precision
from flextune.optimization.recorded import choice_of, recorded_schedules
from flextune.optimization.verdict import recorded_verdict
from flextune.plan.group_kernels import group_kernels
from flextune.plan.partition import partition_model
from flextune.platforms import platform_registry
from flextune.target.target import Target
from flextune.testing.databases import example_record
from flextune.trial.decision import Decision, GroupDecision, LayoutDecision, Verdict
from flextune.trial.format_1 import values_of_format_1
from flextune.trial.record import Evidence, TuningRecord
from flextune.tuning.budget import Budget
from flextune.tuning.task_search import TaskSearch, TuningTask
from flextune.tuning.tune_options import TuneOptions
from flextune.workload.parse import parse_workload
from tests.unit.plan.layouts.nets import branching

DATA = Path(__file__).parents[2] / "data" / "format_1"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The database, as a file of its own."""
    found = tmp_path / "old.db"
    found.write_bytes(lzma.decompress((DATA / "records.db.xz").read_bytes()))
    return found


def rows(path: Path, table: str) -> list[dict[str, object]]:
    with sqlite3.connect(path) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute(f"SELECT * FROM {table} ORDER BY id")]


def target_of(database: Database) -> Target:
    return next(Target.parse(record.target) for record in database.records() if not record.of_objective)


def test_no_field_of_a_record_is_lost_and_its_keys_stay(path: Path) -> None:
    for row in rows(path, "records"):
        record = TuningRecord.from_json(str(row["record"]))
        assert json.dumps(values_of_format_1(record.json_values()), ensure_ascii=False) == row["record"]
        assert TuningRecord.from_json(record.to_json()) == record
        again = record_rows(record)
        keys = {**again.context, **again.trial, "id": row["id"], "record": row["record"]}
        assert {name: keys[name] for name in row} == row


def test_what_was_said_with_strings_is_said_with_fields(path: Path) -> None:
    with open_database(path) as database:
        records = database.records()
    assert {record.evidence for record in records} == set(Evidence)
    assert {record.model for record in records if record.evidence is Evidence.IN_MODEL} == {"net"}
    assert {record.strategy for record in records} == {"auto", "cga", "random"}
    assert {record.cost_model for record in records} == {"none", "trees"}
    assert {record.strategy for record in records if record.pretrained} == {"cga"}
    assert not any("final" in record.protocol for record in records)


def test_every_decision_is_one_of_three_kinds(path: Path) -> None:
    with open_database(path) as database:
        kinds = Counter(type(decision) for decision in database.decisions(Decision))
    assert set(kinds) == {GroupDecision, LayoutDecision, Verdict}
    assert kinds.total() == len({(row["group_key"], row["target_key"]) for row in rows(path, "decisions")})


def test_its_export_holds_the_same_and_comes_in_once(path: Path, tmp_path: Path) -> None:
    lines = tmp_path / "old.jsonl"
    lines.write_bytes(lzma.decompress((DATA / "records.jsonl.xz").read_bytes()))
    with open_database(path) as database, open_database(tmp_path / "new.db") as other:
        report = import_jsonl(other, lines)
        assert report.damaged == ()
        assert other.records() == database.records()
        assert set(other.decisions(Decision)) == set(database.decisions(Decision))
        assert import_jsonl(database, lines).imported == 0
        export_jsonl(other, lines)
        again = import_jsonl(database, lines)
        assert (again.imported, again.decisions) == (0, 0)


def test_a_resumed_run_knows_all_trials(path: Path) -> None:
    with open_database(path) as database:
        target = target_of(database)
        workload = parse_workload("gemm:m=64,n=64,k=64,dtype=float32")
        records = database.records(workload.key, target.key)
    space = platform_registry.get(target.kind).search_space(workload, target)
    search = TaskSearch(
        TuningTask(workload), space, TuneOptions(Budget(trials=1), strategy="random", cost_model="none")
    )
    search.recall(records)
    assert search.recorded == 6
    assert search.finals


def test_a_model_finds_its_verdict_its_groups_and_its_schedules(path: Path, tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(branching(24).SerializeToString())
    partition = partition_model(load_model(tmp_path / "net.onnx"))
    narrow = partition_model(partition.model, (), Precision("bfloat16"))
    with open_database(path) as database:
        target = target_of(database)
        assert recorded_verdict(partition, database, target) in {each.shipped for each in database.decisions(Verdict)}
        assert recorded_verdict(narrow, database, target) is not None
        assert choice_of(group_kernels(partition), database, target)
        assert len(recorded_schedules(partition, database, target)) >= len(partition.tasks) // 2


def everything(path: Path) -> list[str]:
    with sqlite3.connect(path) as connection:
        return list(connection.iterdump())


def test_it_is_shown_and_not_changed_by_that(path: Path) -> None:
    before = everything(path)
    for arguments in (["show"], ["show", "--json"], ["show", "--fusion"]):
        shown = CliRunner().invoke(app, [*arguments, "--db", str(path)])
        assert shown.exit_code == 0, shown.output
    assert everything(path) == before


def test_the_first_write_makes_it_one_of_this_version(path: Path) -> None:
    old = rows(path, "records")
    with open_database(path) as database:
        assert database.commit(example_record(2))
    assert rows(path, "records") == old
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT value FROM about WHERE name = 'version'").fetchone() == ("3",)
