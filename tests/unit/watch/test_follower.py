"""Following a database that others write to."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from flextune.database.store import open_database
from flextune.errors import DatabaseError, UsageError
from flextune.report.contents import read_contents
from flextune.testing.databases import example_decision, example_record, example_verdict
from flextune.watch.follower import Follower
from flextune.watch.states import States


def test_what_it_knows_is_what_the_database_holds(tmp_path: Path) -> None:
    path = tmp_path / "r.db"
    follower = Follower(str(path))
    follower.refresh()
    assert "is not there yet" in follower.problem
    assert not path.exists()
    with open_database(path) as database:
        for step in range(4):
            database.commit_all([example_record(step + 1, 0.5 / (step + 1)), example_record(step + 1, None, "other")])
            database.decide([example_decision("g", "fused"), example_verdict(f"v{step}")])
            follower.refresh()
            assert follower.problem == ""
            assert follower.subject(None).contents == read_contents(database)
            assert follower.subject("net").contents == read_contents(database, "net")
    known = follower.version
    follower.refresh()
    assert follower.version == known
    assert follower.models == ["net"]
    with pytest.raises(UsageError, match="no records of 'nothing'"):
        follower.subject("nothing")


def test_another_file_in_its_place(tmp_path: Path) -> None:
    path = tmp_path / "r.db"
    follower = Follower(str(path))
    for name, tiles in (("first.db", (1, 2)), ("second.db", (7,))):
        with open_database(tmp_path / name) as database:
            database.commit_all([example_record(tile) for tile in tiles])
        (tmp_path / name).replace(path)
        follower.refresh()
        assert [each.trials for each in [follower.subject(None).contents]] == [len(tiles)]


@pytest.mark.parametrize("damage", ["newer", "not a database"])
def test_what_was_read_stays_while_it_cannot_be_read(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "r.db"
    with open_database(path) as database:
        database.commit(example_record(1))
    follower = Follower(str(path))
    follower.refresh()
    other = tmp_path / "other.db"
    if damage == "newer":
        open_database(other).close()
        with sqlite3.connect(other) as connection:
            connection.execute("UPDATE about SET value = '99'")
        connection.close()
    else:
        other.write_bytes(b"no database" * 100)
    other.replace(path)
    follower.refresh()
    assert ("version 99" if damage == "newer" else "not a records database") in follower.problem
    assert follower.subject(None).contents.trials == 1


def test_nothing_can_be_written_where_only_reading_was_asked_for(tmp_path: Path) -> None:
    with open_database(tmp_path / "r.db") as database:
        database.commit(example_record(1))
    with open_database(tmp_path / "r.db", only_read=True) as database:
        assert database.records() == [example_record(1)]
        with pytest.raises(DatabaseError):
            database.commit(example_record(2))


def test_what_goes_on_is_said(tmp_path: Path) -> None:
    now = datetime(2026, 1, 1, 12, 0, 30, tzinfo=UTC)
    follower = Follower(str(tmp_path / "r.db"))
    assert follower.lately(now) == "no records yet"
    with open_database(tmp_path / "r.db") as database:
        for seconds in (0, 10, 11):
            created = datetime(2026, 1, 1, 12, 0, seconds, tzinfo=UTC).isoformat()
            database.commit(replace(example_record(seconds + 1), created=created))
        database.commit(example_record(1, workload_key="old"))
    follower.refresh()
    assert follower.lately(now) == "3 trials in the last minute, of gemm m=64 n=64 k=64"
    later = follower.lately(datetime(2026, 1, 1, 13, tzinfo=UTC))
    assert later.startswith("nothing was measured in the last minute; the last trial was at 2026-01-01T12:00:1")


def test_a_state_is_made_once_and_followed_with_rests(tmp_path: Path) -> None:
    """Making the first state takes 0.2 s: three times as long nothing is read. The second takes 60: then it is 1 s."""
    with open_database(tmp_path / "r.db") as database:
        database.commit(example_record(1))
        moments = iter((0.0, 0.2, 0.7, 0.9, 60.9, 61.8, 62.0, 62.1))
        states = States(Follower(str(tmp_path / "r.db")), lambda: next(moments))
        first = states.latest(None)
        database.commit(example_record(2))
        assert states.latest(None) is first
        second = states.latest(None)
        assert second.version > first.version
        database.commit(example_record(3))
        assert states.latest(None) is second
        assert states.latest(None).version > second.version
