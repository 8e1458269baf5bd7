"""A PostgreSQL server: its schema, what it refuses, and what becomes of records while it is away."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
import warnings
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest
import sqlalchemy as sql

from flextune.database.address import DatabaseAddress
from flextune.database.database import Position
from flextune.database.journal import Step
from flextune.database.rows import record_rows
from flextune.database.schema import VERSION, about_table, old_metadata, records_table
from flextune.database.server import server_engine
from flextune.database.store import SqlDatabase, open_database
from flextune.errors import DamagedError, DatabaseError, EnvironmentFault, NoDatabaseError, UnreachableError
from flextune.testing.databases import TARGET, WORKLOAD, example_decision, example_record
from flextune.testing.postgres import PostgresServer
from flextune.trial.decision import Decision

WRITERS = 8
COMMITS = 30
KILLED = 3
LATER = "2026-02-01T00:00:00+00:00"


@pytest.fixture
def address(postgres: PostgresServer, request: pytest.FixtureRequest) -> str:
    """Of an empty database."""
    return postgres.address(f"{request.node.name[:40]}_{os.getpid()}")


@pytest.fixture(autouse=True)
def journals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where records of this test wait."""
    monkeypatch.setenv("FLEXTUNE_JOURNAL", str(tmp_path / "journals"))
    return tmp_path / "journals"


@pytest.fixture
def engine(address: str) -> Iterator[sql.Engine]:
    """To look at what is stored without flextune."""
    engine = sql.create_engine(address.replace("postgresql://", "postgresql+psycopg://"))
    yield engine
    engine.dispose()


def count(engine: sql.Engine, table: str) -> int:
    with engine.connect() as connection:
        return int(connection.execute(sql.text(f"SELECT count(*) FROM {table}")).scalar_one())


def waiting(journals: Path) -> list[Path]:
    return sorted(journals.rglob("*.jsonl"))


def test_no_message_holds_the_password(postgres: PostgresServer, address: str) -> None:
    with open_database(address) as database:
        assert postgres.password not in database.name
        assert database.name.startswith(f"postgresql://{postgres.user}:***@")
    wrong = postgres.address("postgres", "not-the-right-one")
    with pytest.raises(DatabaseError, match="did not accept the password: give the right one") as caught:
        open_database(wrong)
    chain = [caught.value, caught.value.__cause__, caught.value.__context__]
    assert not any("not-the-right-one" in f"{each} {each!r}" for each in chain)
    with pytest.raises(DatabaseError, match="make it first with `createdb`"):
        open_database(address.replace("?host", "_not_there?host"))


def test_where_nothing_answers(tmp_path: Path, postgres: PostgresServer) -> None:
    for nowhere in (f"postgresql:///x?host={tmp_path}", "postgresql://me:hush@127.0.0.1:1/x"):
        with pytest.raises(UnreachableError, match="nothing answers there: check") as caught:
            open_database(nowhere)
        assert "hush" not in str(caught.value)
    assert not waiting(tmp_path)


def test_who_reads_makes_no_tables(address: str, engine: sql.Engine) -> None:
    with pytest.raises(NoDatabaseError, match="it is empty; `flextune tune`"):
        open_database(address, must_exist=True)
    assert sql.inspect(engine).get_table_names() == []
    open_database(address).close()
    with open_database(address, must_exist=True) as database:
        assert database.records() == []


def test_others_tables_and_versions_are_left_alone(address: str, engine: sql.Engine) -> None:
    with engine.begin() as connection:
        connection.execute(sql.text("CREATE TABLE recipes (name TEXT)"))
    with pytest.raises(DamagedError, match="belongs to another program"):
        open_database(address)
    with engine.begin() as connection:
        connection.execute(sql.text("DROP TABLE recipes"))
    open_database(address).close()
    with engine.begin() as connection:
        connection.execute(sql.update(about_table).values(value=str(VERSION + 1)))
    with pytest.raises(DamagedError, match=f"it is of version {VERSION + 1}, this flextune reads"):
        open_database(address)


def test_an_older_version_is_read_as_it_is_and_upgraded_by_the_first_write(address: str, engine: sql.Engine) -> None:
    old_metadata.create_all(engine)
    about_table.create(engine)
    with engine.begin() as connection:
        connection.execute(sql.insert(about_table), {"name": "version", "value": "2"})
        for record in map(example_record, range(1, 4)):
            rows = record_rows(record)
            whole = {**rows.context, **rows.trial, "record": record.to_json()}
            row = {column.name: whole[column.name] for column in records_table.c if column.name != "id"}
            connection.execute(sql.insert(records_table), row)
    expected = [example_record(tile) for tile in range(1, 4)]
    with open_database(address, must_exist=True) as database:
        assert database.records(WORKLOAD, TARGET) == expected
        assert database.best(WORKLOAD, TARGET) == expected[0]
        assert database.decisions(Decision) == []
        assert "trials" not in sql.inspect(engine).get_table_names()
        assert database.commit_all([example_record(2), example_record(7)]) == 1
        assert database.records() == [*expected, example_record(7)]
    with engine.connect() as connection:
        assert connection.execute(sql.select(about_table.c.value)).scalar_one() == str(VERSION)


def test_texts_that_a_database_could_lose_are_kept_or_refused(postgres: PostgresServer, address: str) -> None:
    odd = example_record(3, None, error='NUL \0, "quoted" \\u0000 é 日本 \x7f')
    with open_database(address) as database:
        assert database.commit(odd)
        assert database.records() == [odd]
    engine = sql.create_engine(
        postgres.address("postgres").replace("postgresql://", "postgresql+psycopg://"), isolation_level="AUTOCOMMIT"
    )
    with engine.connect() as connection:
        connection.execute(sql.text("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0"))
    engine.dispose()
    with pytest.raises(EnvironmentFault, match=r"its encoding is LATIN1, .*createdb --encoding=UTF8"):
        open_database(postgres.address("postgres").replace("/postgres?", "/latin?"))


def test_a_host_whose_clock_is_wrong_is_told_so(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Ahead(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(UTC) + timedelta(hours=3)

    monkeypatch.setattr("flextune.database.server.datetime", Ahead)
    with pytest.warns(UserWarning, match=r"clock is 3 h 00 min ahead of the clock of postgresql://.*set the clock"):
        open_database(address).close()


@pytest.mark.filterwarnings("ignore:records database")
def test_what_is_written_while_it_is_away_arrives_once_and_in_order(
    postgres: PostgresServer, address: str, journals: Path, engine: sql.Engine
) -> None:
    with open_database(address) as database:
        database.commit(example_record(1))
        postgres.stop()
        try:
            assert database.commit_all([example_record(2), example_record(2), example_record(3)]) == 2
            database.decide([example_decision("a", "fused")])
            (file,) = waiting(journals)
            assert len([line for line in file.read_text().splitlines() if line]) == 4
        finally:
            postgres.start()
        assert database.records() == [example_record(tile) for tile in (1, 2, 3)]
        assert len(database.decisions(Decision)) == 1
        assert waiting(journals) == []
        postgres.stop()
        postgres.start()
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # it was noticed by nobody
            assert database.commit(example_record(4))
    engine.dispose()
    assert (count(engine, "trials"), count(engine, "decisions")) == (4, 1)


@pytest.mark.filterwarnings("ignore:records database")
def test_what_had_arrived_is_not_repeated(address: str, journals: Path, engine: sql.Engine) -> None:
    """As after a connection that broke before the answer came: it is in the database, and in the journal."""
    first, later = example_decision("a", "fused"), example_decision("a", "parts")
    folder = journals / DatabaseAddress.of(address).journal
    folder.mkdir(parents=True)
    with open_database(address) as database:
        database.decide([first])
        database.commit(example_record(4))
        texts = [each.to_json() for each in (first, example_record(4), example_record(5))]
        cut_off = example_decision("a", "fused", "elsewhere").to_json()[:99]
        (folder / "left.jsonl").write_text("\n".join([*texts, "", cut_off]))
        database.decide([later])
    with open_database(address) as database:
        assert database.decisions(Decision) == [later]
        assert database.records() == [example_record(4), example_record(5)]
    assert count(engine, "decisions") == 2
    assert waiting(journals) == []


def test_a_decision_that_waited_does_not_count_before_one_made_later(address: str, journals: Path) -> None:
    """One that was left by a process that was killed may arrive after days."""
    earlier, later = example_decision("a", "fused"), replace(example_decision("a", "parts"), created=LATER)
    with open_database(address) as database:
        database.decide([later])
    folder = journals / DatabaseAddress.of(address).journal
    folder.mkdir(parents=True)
    (folder / "left.jsonl").write_text(f"{earlier.to_json()}\n\n{example_decision('b', 'fused').to_json()}\n\n")
    with pytest.warns(UserWarning, match="has got the 1 records and decisions"):
        database = open_database(address)
    with database:
        assert database.decisions(Decision) == [example_decision("b", "fused"), later]
    assert waiting(journals) == []


def test_a_damaged_line_that_waits_costs_that_line_and_is_kept(address: str, journals: Path) -> None:
    folder = journals / DatabaseAddress.of(address).journal
    folder.mkdir(parents=True)
    (folder / "left.jsonl").write_text(f'{{"format": 2}}\n{example_record(5).to_json()}\n\n')
    with pytest.warns(UserWarning, match=r"lacks 1 records whose lines in .*left\.damaged are damaged"):
        database = open_database(address)
    with database:
        assert database.records() == [example_record(5)]
    assert [path.name for path in folder.iterdir()] == ["left.damaged"]


def test_what_waits_is_kept_where_it_may_not_be_written(postgres, address: str, journals: Path, engine) -> None:
    open_database(address).close()
    folder = journals / DatabaseAddress.of(address).journal
    folder.mkdir(parents=True)
    (folder / "left.jsonl").write_text(f"{example_record(5).to_json()}\n\n")
    with engine.begin() as connection:
        connection.execute(sql.text("CREATE ROLE reader LOGIN PASSWORD 'r'"))
        connection.execute(sql.text("GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader"))
    reading = str(sql.make_url(address).set(username="reader", password="r").render_as_string(hide_password=False))
    with pytest.warns(UserWarning, match=r"did not take the records that wait in .*this user may not do that"):
        database = open_database(reading, must_exist=True)
    with database:
        assert database.records() == []
        with pytest.raises(DatabaseError, match="this user may not do that there"):
            database.commit(example_record(6))
    assert len(waiting(journals)) == 1


def test_who_follows_misses_nothing_that_is_committed_late(address: str, engine: sql.Engine) -> None:
    """Rows are numbered as they are inserted: of two transactions at once, the one that began first could end last."""
    with open_database(address) as database:
        database.commit(example_record(3))  # with all that the others share, for which they would wait anyway
    name = DatabaseAddress.of(address)
    slow, follower = SqlDatabase(server_engine(name), name), open_database(address, only_read=True)
    found, position = [], Position()

    def follow() -> None:
        nonlocal position
        news = follower.news(position)
        position = news.position
        found.extend(news.records)

    def commit() -> None:
        with open_database(address) as other:
            other.commit(example_record(2))

    def in_the_middle_of_it() -> Iterator[Step]:
        yield (example_record(1),)
        quick.start()
        locks = sql.text("SELECT count(*) FROM pg_locks WHERE NOT granted")
        with engine.connect() as connection:
            while quick.is_alive() and not connection.execute(locks).scalar_one():
                time.sleep(0.01)
        follow()

    quick = threading.Thread(target=commit, daemon=True)
    with slow, follower:
        slow.store_once(in_the_middle_of_it())
        quick.join(60)
        follow()
        assert found == follower.records() == [example_record(tile) for tile in (3, 1, 2)]


def _commit(address: str, seed: int, journal: Path, report: Connection, away: Event, done: Event) -> None:
    """One writer of a host, which has a journal of its own; the one that is killed has the half left by then."""
    os.environ["FLEXTUNE_JOURNAL"] = str(journal)
    warnings.simplefilter("ignore")
    with open_database(address) as database:
        for number in range(COMMITS):
            if (seed, number) == (KILLED, COMMITS // 2):
                away.wait(120)
            database.commit(example_record(number + 1, seed=seed))
            report.send(number)
            time.sleep(0.05)
        done.wait(120)


@pytest.mark.filterwarnings("ignore:records database")
def test_writers_of_two_hosts_lose_nothing_over_a_restart_and_a_kill(
    postgres: PostgresServer, address: str, journals: Path, engine: sql.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server dies without warning while all write, and one writer, whose records wait, while it is away."""
    open_database(address).close()
    processes = multiprocessing.get_context("fork")
    away, done, writers, pipes = processes.Event(), processes.Event(), [], []
    for seed in range(WRITERS):
        reports, report = processes.Pipe(duplex=False)
        arguments = (address, seed, journals / f"host{seed % 2}", report, away, done)
        writers.append(processes.Process(target=_commit, args=arguments, daemon=True))
        writers[-1].start()
        report.close()
        pipes.append(reports)
    told = [pipe.recv() + 1 for pipe in pipes]
    postgres.stop()
    away.set()
    while told[KILLED] < COMMITS // 2 + 3:
        told[KILLED] = pipes[KILLED].recv() + 1
    os.kill(writers[KILLED].pid, signal.SIGKILL)
    assert waiting(journals / "host1")
    postgres.start()
    done.set()
    told = [max(before, _last_of(pipe)) for before, pipe in zip(told, pipes, strict=True)]
    for writer in writers:
        writer.join(60)
    for host in ("host0", "host1"):
        monkeypatch.setenv("FLEXTUNE_JOURNAL", str(journals / host))
        with open_database(address) as database:
            found = database.records()
    assert waiting(journals) == []
    stored = [[record.assignment for record in found if record.seed == seed] for seed in range(WRITERS)]
    assert stored == [[example_record(n + 1).assignment for n in range(len(each))] for each in stored]
    assert all(told[seed] <= len(stored[seed]) <= told[seed] + 1 for seed in range(WRITERS))
    assert [count for seed, count in enumerate(told) if seed != KILLED] == [COMMITS] * (WRITERS - 1)
    assert told[KILLED] < COMMITS
    assert count(engine, "trials") == len(found)


def _last_of(reports: Connection) -> int:
    """How many commits were reported until the writer ended."""
    told = 0
    try:
        while True:
            told = reports.recv() + 1
    except EOFError:
        return told
