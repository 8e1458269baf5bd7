"""A database of version 2, as the version before wrote it: whole records, which stay and count as they did."""

from __future__ import annotations

import lzma
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sql

from flextune.csp.assignment import Assignment
from flextune.database.jsonl import export_jsonl, import_jsonl
from flextune.database.store import SqlDatabase, open_database
from flextune.errors import DatabaseError
from flextune.testing.databases import TARGET, WORKLOAD, example_record, example_verdict
from flextune.trial.decision import Decision
from flextune.trial.record import TuningRecord

DATA = Path(__file__).parents[2] / "data" / "version_2"


def unpacked(name: str, folder: Path) -> Path:
    path = folder / name
    path.write_bytes(lzma.decompress((DATA / f"{name}.xz").read_bytes()))
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The database, as a file of its own."""
    return unpacked("records.db", tmp_path)


@pytest.fixture
def exported(tmp_path: Path) -> list[TuningRecord]:
    """Its records, as the version that wrote them exported them."""
    lines = unpacked("records.jsonl", tmp_path).read_text().splitlines()
    return [TuningRecord.from_json(line) for line in lines if not line.startswith('{"decision"')]


def whole_rows(path: Path) -> list[tuple[object, ...]]:
    with sqlite3.connect(path) as connection:
        return connection.execute("SELECT * FROM records ORDER BY id").fetchall()


def version(path: Path) -> str:
    with sqlite3.connect(path) as connection:
        return str(connection.execute("SELECT value FROM about WHERE name = 'version'").fetchone()[0])


def test_reading_changes_nothing(path: Path, exported: list[TuningRecord]) -> None:
    before = whole_rows(path)
    with open_database(path) as database:
        assert database.records() == exported
        assert database.best(WORKLOAD, TARGET) == example_record(2, 0.2)
        assert len(database.decisions(Decision)) == 2
    assert (version(path), whole_rows(path)) == ("2", before)


def test_what_is_written_comes_after_it(path: Path, exported: list[TuningRecord]) -> None:
    before, new = (
        whole_rows(path),
        [
            replace(example_record(tile, secs, seed=9), created=max(each.created for each in exported))
            for tile, secs in ((2, 0.6), (7, 0.5))
        ],
    )
    with open_database(path) as database, open_database(path) as opened_before:
        assert database.commit_all([exported[0], *new]) == 2
        database.decide([example_verdict("new")])
        for each in (database, opened_before):
            assert each.records() == [*exported, *new]
            assert each.best(WORKLOAD, TARGET) == example_record(1, 0.3)
            assert len(each.decisions(Decision)) == 3
        measured = database.measured(WORKLOAD, TARGET)
        assert measured == tuple(Assignment({"tile": tile, "unroll": 1}) for tile in (1, 2, 3, 4, 7))
    assert (version(path), whole_rows(path)) == ("3", before)


def test_its_records_come_in_once_and_go_out_again(path: Path, tmp_path: Path, exported: list[TuningRecord]) -> None:
    with open_database(path) as database, open_database(tmp_path / "new.db") as other:
        assert import_jsonl(database, tmp_path / "records.jsonl").imported == 0
        assert import_jsonl(other, tmp_path / "records.jsonl").imported == len(exported)
        assert other.records() == exported
        export_jsonl(other, tmp_path / "again.jsonl")
        assert import_jsonl(database, tmp_path / "again.jsonl").imported == 0
    assert (tmp_path / "again.jsonl").read_text() == (tmp_path / "records.jsonl").read_text()


def test_a_step_that_fails_leaves_it_as_it_was(path: Path, exported: list[TuningRecord]) -> None:
    def failing() -> Iterator[TuningRecord]:
        yield example_record(8)
        raise KeyError("broken source")

    with open_database(path) as database:
        with pytest.raises(KeyError):
            database.commit_all(failing())
        assert isinstance(database, SqlDatabase)
        database._engine.dispose()
        sql.event.listen(database._engine, "connect", lambda connection, _: connection.execute("PRAGMA query_only = 1"))
        with pytest.raises(DatabaseError, match="cannot be written"):
            database.commit(example_record(8))
        assert database.records() == exported
    assert version(path) == "2"


def test_it_is_read_where_nothing_can_be_written(
    path: Path, exported: list[TuningRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
    monkeypatch.setattr("os.access", lambda *_: False)
    with open_database(path) as database:
        assert database.records() == exported
