import random
import sqlite3
from pathlib import Path

import pytest
import sqlalchemy as sql

from flextune.database.store import SqlDatabase, open_database
from flextune.errors import DatabaseError
from flextune.testing.databases import TARGET, WORKLOAD, example_decision, example_record
from flextune.trial.decision import Decision, GroupDecision


def pragma(database: SqlDatabase, statement: str) -> None:
    """Give every later connection of this database a limit of the engine, to meet its real error."""
    database._engine.dispose()
    sql.event.listen(database._engine, "connect", lambda connection, _: connection.execute(statement))


def filled(path: Path, count: int = 3) -> Path:
    with open_database(path) as database:
        database.commit_all(example_record(tile) for tile in range(1, count + 1))
    return path


def test_file_is_left_without_side_files_and_intact(tmp_path):
    path = filled(tmp_path / "r.db")
    assert [file.name for file in tmp_path.iterdir()] == ["r.db"]
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("SELECT count(*) FROM records").fetchone() == (3,)


def test_columns_can_be_queried_by_other_tools(tmp_path):
    with open_database(tmp_path / "r.db") as database:
        database.commit_all([example_record(2, 0.25), example_record(3, None)])
    with sqlite3.connect(tmp_path / "r.db") as connection:
        rows = connection.execute("SELECT workload_key, target_key, status, secs FROM records ORDER BY id").fetchall()
    assert rows == [(WORKLOAD, TARGET, "ok", 0.25), (WORKLOAD, TARGET, "run_error", None)]


def test_queries_use_the_index(tmp_path):
    with sqlite3.connect(filled(tmp_path / "r.db")) as connection:
        plan = connection.execute(
            "EXPLAIN QUERY PLAN SELECT record FROM records WHERE workload_key='a' AND target_key='b' AND status='ok'"
        ).fetchall()
    assert "records_by_task" in str(plan)


def test_missing_file_is_made_or_reported(tmp_path):
    with pytest.raises(DatabaseError, match=r"new\.db: no such file; .*flextune tune"):
        open_database(tmp_path / "new.db", must_exist=True)
    assert not (tmp_path / "new.db").exists()
    open_database(tmp_path / "new.db").close()
    with open_database(tmp_path / "new.db", must_exist=True) as database:
        assert database.records() == []


def test_missing_folder_and_folder_as_file(tmp_path):
    with pytest.raises(DatabaseError, match=r"folder .*nowhere does not exist"):
        open_database(tmp_path / "nowhere" / "r.db")
    with pytest.raises(DatabaseError, match="it is a folder"):
        open_database(tmp_path)


def test_folder_that_cannot_be_written():
    with pytest.raises(DatabaseError, match="check that the folder exists and can be written"):
        open_database("/proc/r.db")


def test_file_that_is_no_database(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("this is not a database, but long enough to have a header of its own\n" * 40)
    before = path.read_bytes()
    with pytest.raises(DatabaseError, match=r"notes\.txt: it is not a records database"):
        open_database(path)
    assert path.read_bytes() == before


def test_database_of_another_program(tmp_path):
    with sqlite3.connect(tmp_path / "other.db") as connection:
        connection.execute("CREATE TABLE recipes (name TEXT)")
    with pytest.raises(DatabaseError, match="belongs to another program"):
        open_database(tmp_path / "other.db")


def test_other_version(tmp_path):
    path = filled(tmp_path / "r.db")
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE about SET value = '7' WHERE name = 'version'")
    with pytest.raises(DatabaseError, match=r"it is of version 7, this flextune reads versions up to 2; use the newer"):
        open_database(path)


@pytest.mark.parametrize(
    "done", ["DELETE FROM about", "DROP TABLE records", "DROP INDEX records_by_task; DELETE FROM about"]
)
def test_creation_that_died_in_the_middle_is_completed(tmp_path, done):
    open_database(tmp_path / "r.db").close()
    with sqlite3.connect(tmp_path / "r.db") as connection:
        connection.executescript(done)
    with open_database(tmp_path / "r.db") as database:
        assert database.commit(example_record(2))


@pytest.mark.filterwarnings("ignore:left out")
def test_any_damage_is_one_message_or_none(tmp_path):
    """Bytes changed anywhere, most of them in the header and the schema."""
    whole = filled(tmp_path / "r.db").read_bytes()
    rng = random.Random(1)
    refused = 0
    for number in range(150):
        damaged = bytearray(whole)
        for _ in range(rng.choice((1, 3, 10))):
            damaged[rng.randrange(rng.choice((200, 4096, len(whole))))] = rng.randrange(256)
        path = tmp_path / f"{number}.db"
        path.write_bytes(damaged)
        try:
            with open_database(path) as database:
                database.records()
                database.best(WORKLOAD, TARGET)
                database.decisions(Decision)
        except DatabaseError:
            refused += 1
    assert refused > 15


def test_truncated_file(tmp_path):
    path = filled(tmp_path / "r.db", 60)
    path.write_bytes(path.read_bytes()[: 3 * 4096 + 100])
    with pytest.raises(DatabaseError, match="damaged"):
        open_database(path).records()


def test_overwritten_pages(tmp_path):
    path = filled(tmp_path / "r.db", 60)
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xa5" * (len(content) - 4096)
    path.write_bytes(content)
    with pytest.raises(DatabaseError, match="damaged"):
        open_database(path).records()


DAMAGES = {
    "no record": "UPDATE records SET record = '{}' WHERE id = 2",
    "NULL": "PRAGMA writable_schema = ON; "
    "UPDATE sqlite_master SET sql = replace(sql, 'record TEXT NOT NULL', 'record TEXT') WHERE name = 'records'; "
    "PRAGMA writable_schema = RESET; UPDATE records SET record = NULL WHERE id = 2",
    "bytes": "UPDATE records SET record = x'ff00' WHERE id = 2",
    "no UTF-8": "UPDATE records SET record = cast(x'7bff7d' AS TEXT) WHERE id = 2",
    "cut off": "UPDATE records SET record = substr(record, 1, 50) WHERE id = 2",
    "an objective without parameters": "UPDATE records SET record = json_set(record, '$.workload', 'objective:x', "
    "'$.body', 'x') WHERE id = 2",
    "a program that is none": "UPDATE records SET record = json_set(record, '$.workload', 'tir:name=x,sha=h00', "
    "'$.body', 'x') WHERE id = 2",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_row_is_named_and_left_out(tmp_path, damage):
    path = filled(tmp_path / "r.db")
    with open_database(path) as database:
        whole = database.records()
    with sqlite3.connect(path) as connection:
        connection.executescript(DAMAGES[damage])
    with (
        open_database(path) as database,
        pytest.warns(UserWarning, match=r"row 2 of records is damaged.*DELETE FROM records WHERE id = 2"),
    ):
        assert database.records() == [whole[0], *whole[2:]]


def test_the_best_record_is_the_best_that_can_be_read(tmp_path):
    path = filled(tmp_path / "r.db")
    with open_database(path) as database:
        best = database.best(WORKLOAD, TARGET)
        others = [record for record in database.records() if record != best]
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE records SET record = '[]' WHERE record = ?", (best.to_json(),))
    with open_database(path) as database, pytest.warns(UserWarning, match="left out"):
        assert database.best(WORKLOAD, TARGET) == min(others, key=lambda record: record.secs)


def test_full_disk_loses_nothing_stored_before(tmp_path):
    path = filled(tmp_path / "r.db", 1)
    database = open_database(path)
    pragma(database, "PRAGMA max_page_count = 12")
    with pytest.raises(DatabaseError, match="the disk is full: free some space") as caught:
        all(database.commit(example_record(tile)) for tile in range(2, 1000))
    assert str(path) in str(caught.value)
    stored = len(database.records())
    assert stored > 1
    database.close()
    with open_database(path) as again:
        assert again.records() == [example_record(tile) for tile in range(1, stored + 1)]


def test_write_protected_database(tmp_path):
    database = open_database(filled(tmp_path / "r.db"))
    pragma(database, "PRAGMA query_only = ON")
    with pytest.raises(DatabaseError, match="it cannot be written: check the permissions"):
        database.commit(example_record(9))
    assert len(database.records()) == 3


def test_writer_that_waits_for_too_long(tmp_path):
    path = filled(tmp_path / "r.db")
    database = open_database(path)
    pragma(database, "PRAGMA busy_timeout = 1")
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(DatabaseError, match="another process has held it"):
        database.commit(example_record(9))
    holder.execute("ROLLBACK")
    holder.close()
    assert database.commit(example_record(9))


def test_all_or_nothing_of_a_group(tmp_path):
    def failing():
        yield example_record(8)
        raise KeyError("broken source")

    with open_database(filled(tmp_path / "r.db")) as database:
        with pytest.raises(KeyError):
            database.commit_all(failing())
        assert len(database.records()) == 3


def test_postgresql_without_its_driver():
    if any(__import__("importlib.util").util.find_spec(name) for name in ("psycopg", "psycopg2")):
        pytest.skip("a PostgreSQL driver is installed")
    with pytest.raises(DatabaseError, match=r"driver 'psycopg2?' is not installed; pip install psycopg") as caught:
        open_database("postgresql://user:secret@localhost/records")
    assert "secret" not in str(caught.value)


def test_other_urls_are_refused():
    with pytest.raises(DatabaseError, match="expected a file name or a postgresql:// URL"):
        open_database("mysql://localhost/records")


def test_a_decision_that_cannot_be_read_is_named(tmp_path):
    with open_database(tmp_path / "r.db") as database:
        database.decide([example_decision("a", "fused"), example_decision("b", "fused")])
    with sqlite3.connect(tmp_path / "r.db") as connection:
        damage = ('"chosen": "fused"', '"chosen": "gone"')
        connection.execute("UPDATE decisions SET decision = replace(decision, ?, ?) WHERE id = 2", damage)
    with open_database(tmp_path / "r.db") as database:
        assert database.decision(GroupDecision, "here", "a") is not None
        for ask in (lambda: database.decisions(Decision), lambda: database.decision(GroupDecision, "here", "b")):
            with pytest.raises(DatabaseError, match=r"row 2 of decisions is damaged.*DELETE FROM decisions WHERE id"):
                ask()


def version_of(path: Path) -> tuple[str, set[str]]:
    """What the file says of itself, and its tables."""
    with sqlite3.connect(path) as connection:
        (version,) = connection.execute("SELECT value FROM about WHERE name = 'version'").fetchone()
        return version, {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def of_version_1(path: Path) -> Path:
    """A database as it was before there were decisions."""
    filled(path)
    with sqlite3.connect(path) as connection:
        connection.executescript("DROP TABLE decisions; UPDATE about SET value = '1'")
    return path


def test_reading_an_older_database_leaves_it_as_it_is(tmp_path):
    path = of_version_1(tmp_path / "r.db")
    with open_database(path) as database:
        assert len(database.records()) == 3
        assert database.decisions(Decision) == []
    assert version_of(path) == ("1", {"about", "records"})


def test_the_first_write_brings_an_older_database_to_this_version(tmp_path):
    path = of_version_1(tmp_path / "r.db")
    with open_database(path) as database, open_database(path) as other:
        assert database.decisions(Decision) == []
        database.decide([example_decision("a", "fused")])
        other.commit(example_record(9))
        assert len(database.decisions(Decision)) == len(other.decisions(Decision)) == 1
    assert version_of(path) == ("2", {"about", "records", "decisions"})


def test_a_write_that_fails_leaves_an_older_database_as_it_is(tmp_path):
    path = of_version_1(tmp_path / "r.db")
    database = open_database(path)
    pragma(database, "PRAGMA max_page_count = 9")
    with pytest.raises(DatabaseError, match="the disk is full"):
        database.commit_all(example_record(tile) for tile in range(5, 200))
    database.close()
    assert version_of(path) == ("1", {"about", "records"})
    with open_database(path) as again:
        assert len(again.records()) == 3
        assert again.commit(example_record(9))
    assert version_of(path)[0] == "2"
