import random
import sqlite3
from pathlib import Path

import pytest
import sqlalchemy as sql

from flextune.database.rows import record_rows
from flextune.database.schema import about_table, old_metadata, records_table
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
        assert connection.execute("SELECT count(*) FROM trials").fetchone() == (3,)


def test_columns_can_be_queried_by_other_tools(tmp_path):
    with open_database(tmp_path / "r.db") as database:
        database.commit_all([example_record(2, 0.25), example_record(3, None)])
    with sqlite3.connect(tmp_path / "r.db") as connection:
        query = "SELECT workload_key, target_key, status, secs FROM trials JOIN contexts ON contexts.id = context"
        rows = connection.execute(f"{query} ORDER BY trials.id").fetchall()
    assert rows == [(WORKLOAD, TARGET, "ok", 0.25), (WORKLOAD, TARGET, "run_error", None)]


def test_queries_use_the_index(tmp_path):
    with sqlite3.connect(filled(tmp_path / "r.db")) as connection:
        plan = connection.execute(
            "EXPLAIN QUERY PLAN SELECT own FROM trials WHERE context IN "
            "(SELECT id FROM contexts WHERE workload_key='a' AND target_key='b')"
        ).fetchall()
    assert "trials_by_context" in str(plan)
    assert "contexts_by_task" in str(plan)


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
    with pytest.raises(DatabaseError, match=r"it is of version 7, this flextune reads versions up to 3; use the newer"):
        open_database(path)


@pytest.mark.parametrize(
    "done", ["DELETE FROM about", "DROP TABLE trials", "DROP INDEX trials_by_context; DELETE FROM about"]
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


OWN_DAMAGES = {
    "no record": "UPDATE trials SET own = '{}' WHERE id = 2",
    "NULL": "PRAGMA writable_schema = ON; "
    "UPDATE sqlite_master SET sql = replace(sql, 'own TEXT NOT NULL', 'own TEXT') WHERE name = 'trials'; "
    "PRAGMA writable_schema = RESET; UPDATE trials SET own = NULL WHERE id = 2",
    "bytes": "UPDATE trials SET own = x'ff00' WHERE id = 2",
    "no UTF-8": "UPDATE trials SET own = cast(x'7bff7d' AS TEXT) WHERE id = 2",
    "cut off": "UPDATE trials SET own = substr(own, 1, 50) WHERE id = 2",
    "no values": "UPDATE trials SET own = json_remove(own, '$.values') WHERE id = 2",
    "too few values": "UPDATE trials SET own = json_set(own, '$.values', json('[1]')) WHERE id = 2",
    "values of another kind": "UPDATE trials SET own = json_set(own, '$.values', json('[1, true]')) WHERE id = 2",
    "a field of a context": "UPDATE trials SET own = json_set(own, '$.seed', 3) WHERE id = 2",
}
COMMON_DAMAGES = {
    "no context": "DELETE FROM contexts",
    "empty": "UPDATE contexts SET common = '{}'",
    "another format": "UPDATE contexts SET common = json_set(common, '$.format', 1)",
    "a field of a trial": "UPDATE contexts SET common = json_set(common, '$.status', 'ok')",
    "no names": "UPDATE contexts SET common = json_set(common, '$.variables', 3)",
    "an objective without parameters": "UPDATE contexts SET common = json_set(common, '$.workload', 'objective:x', "
    "'$.body', 'x')",
    "a program that is none": "UPDATE contexts SET common = json_set(common, '$.workload', 'tir:name=x,sha=h00', "
    "'$.body', 'x')",
}


@pytest.mark.parametrize("damage", OWN_DAMAGES)
def test_a_damaged_row_is_named_and_left_out(tmp_path, damage):
    path = filled(tmp_path / "r.db")
    with open_database(path) as database:
        whole = database.records()
    with sqlite3.connect(path) as connection:
        connection.executescript(OWN_DAMAGES[damage])
    with (
        open_database(path) as database,
        pytest.warns(UserWarning, match=r"row 2 of trials is damaged.*DELETE FROM trials WHERE id = 2"),
    ):
        assert database.records() == [whole[0], *whole[2:]]


@pytest.mark.parametrize("damage", COMMON_DAMAGES)
def test_a_damaged_context_costs_the_records_that_share_it(tmp_path, damage):
    path = filled(tmp_path / "r.db")
    with sqlite3.connect(path) as connection:
        connection.executescript(COMMON_DAMAGES[damage])
    with open_database(path) as database:
        other = example_record(2, seed=1)
        assert database.commit(other)
        with pytest.warns(UserWarning, match="row 1 of (contexts|trials) is damaged"):
            found = database.records()
    assert found == [other]


def test_contexts_are_stored_once_whoever_writes(tmp_path):
    path = filled(tmp_path / "r.db")
    with open_database(path) as first, open_database(path) as second:
        for tile, database in ((4, first), (5, second), (6, first)):
            assert database.commit(example_record(tile))
            assert database.commit(example_record(tile, seed=1))
        assert [record.seed for record in second.records()] == [0, 0, 0, 0, 1, 0, 1, 0, 1]
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT count(*) FROM contexts").fetchone() == (2,)


def test_a_context_of_a_failed_step_is_written_again(tmp_path):
    database = open_database(filled(tmp_path / "r.db"))
    pragma(database, "PRAGMA max_page_count = 1")
    with pytest.raises(DatabaseError):
        database.commit_all(example_record(tile, seed=tile, error="e" * 5000, secs=None) for tile in range(4, 40))
    pragma(database, "PRAGMA max_page_count = 1000000")
    assert database.commit(example_record(4, seed=4))
    assert database.records()[-1] == example_record(4, seed=4)


def test_the_best_record_is_the_best_that_can_be_read(tmp_path):
    path = filled(tmp_path / "r.db")
    with open_database(path) as database:
        best = database.best(WORKLOAD, TARGET)
        others = [record for record in database.records() if record != best]
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE trials SET own = '[]' WHERE candidate = ?", (best.key,))
    with open_database(path) as database, pytest.warns(UserWarning, match="left out"):
        assert database.best(WORKLOAD, TARGET) == min(others, key=lambda record: record.secs)


@pytest.mark.parametrize("damage", ["secs = x'ff'", "secs = 'fast'", "candidate = x'ff'"])
def test_what_rows_are_ranked_by_may_be_damaged(tmp_path, damage):
    path = filled(tmp_path / "r.db")
    with open_database(path) as database:
        best, all_there = database.best(WORKLOAD, TARGET), database.records()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA ignore_check_constraints = 1")
        connection.execute(f"UPDATE trials SET {damage} WHERE candidate = ?", (best.key,))
    others = [record for record in all_there if record != best]
    with open_database(path) as database:
        with pytest.warns(UserWarning, match=r"row \d+ of trials is damaged: its .* instead of"):
            assert database.best(WORKLOAD, TARGET) == min(others, key=lambda record: record.secs)
        with pytest.warns(UserWarning, match="instead of"):
            [overview] = database.overviews()
        assert overview.candidates == len(others)


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
    with pytest.raises(DatabaseError, match=r"driver 'psycopg2?' is not installed; pip install 'flextune") as caught:
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
        return version, {
            name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        } - {"sqlite_sequence"}


def of_version_1(path: Path) -> Path:
    """A database as it was before there were decisions, and before records had two parts."""
    engine = sql.create_engine(f"sqlite:///{path}")
    old_metadata.create_all(engine)
    about_table.create(engine)
    with engine.begin() as connection:
        connection.execute(sql.insert(about_table), {"name": "version", "value": "1"})
        for record in map(example_record, range(1, 4)):
            rows = record_rows(record)
            whole = {**rows.context, **rows.trial, "record": record.to_json()}
            row = {column.name: whole[column.name] for column in records_table.c if column.name != "id"}
            connection.execute(sql.insert(records_table), row)
    engine.dispose()
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
    assert version_of(path) == ("3", {"about", "records", "contexts", "trials", "decisions"})


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
    assert version_of(path)[0] == "3"
