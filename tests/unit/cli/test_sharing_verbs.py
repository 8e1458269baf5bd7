"""`flextune records sync`, `publish` and `fetch` from the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from flextune.database.store import open_database
from flextune.testing.databases import example_decision, example_record
from flextune.testing.postgres import PostgresServer

Run = Callable[..., tuple[int, str, str]]


def filled(path: str | Path, *tiles: int) -> str:
    with open_database(path) as database:
        database.commit_all(example_record(tile) for tile in tiles)
        database.decide([example_decision("a", "fused")])
    return str(path)


def test_sync_says_what_each_got(tmp_path: Path, run: Run) -> None:
    first, second = filled(tmp_path / "a.db", 1, 2), str(tmp_path / "b.db")
    assert run("records", "sync", first, second) == (
        0,
        f"0 records and 0 decisions added to {first}\n2 records and 1 decisions added to {second}\n",
        "",
    )
    code, out, _ = run("records", "sync", second, first, "--json")
    assert (code, [each["records"] for each in json.loads(out)["added"]]) == (0, [0, 0])
    code, out, err = run("records", "sync", first, first)
    assert (code, out, err.count("\n")) == (2, "", 1)
    code, out, err = run("records", "sync", str(tmp_path / "none.db"), first)
    assert (code, out) == (2, "")
    assert "no such file" in err


def test_a_set_is_published_and_fetched(tmp_path: Path, run: Run) -> None:
    db, folder, new = filled(tmp_path / "a.db", 1, 2), str(tmp_path / "set"), str(tmp_path / "new.db")
    code, out, err = run("records", "publish", folder, "--licence", "CC0-1.0", "--db", db)
    assert (code, err) == (0, "")
    digest = out.split()[-1]
    code, out, err = run("records", "fetch", folder, "--digest", digest, "--db", new)
    assert (code, err) == (0, "")
    assert "2 records and 1 decisions of set set added to" in out
    assert "licence CC0-1.0" in out
    code, out, _ = run("records", "fetch", folder, "--db", new, "--json")
    assert (code, json.loads(out)["records"], json.loads(out)["known"]) == (0, 0, 2)
    (tmp_path / "set" / "records.jsonl.gz").write_bytes(b"x")
    code, out, err = run("records", "fetch", folder, "--db", str(tmp_path / "other.db"))
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "file records.jsonl.gz is damaged" in err
    assert not (tmp_path / "other.db").exists()


def test_every_verb_takes_a_server_and_none_shows_its_password(
    tmp_path: Path, run: Run, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLEXTUNE_JOURNAL", str(tmp_path / "journal"))
    address, file = postgres.address(f"verbs_{tmp_path.name}"), str(tmp_path / "a.db")
    filled(file, 1, 2)
    calls = [
        ("records", "sync", file, address),
        ("records", "sync", address, file, "--json"),
        ("records", "export", str(tmp_path / "x.jsonl"), "--db", address),
        ("records", "import", str(tmp_path / "x.jsonl"), "--db", address, "--json"),
        ("records", "publish", str(tmp_path / "set"), "--licence", "MIT", "--db", address),
        ("records", "fetch", str(tmp_path / "set"), "--db", address),
        ("show", "--db", address),
        ("show", "--db", address, "--json"),
        ("show", "--fusion", "--db", address),
        ("report", "-o", str(tmp_path / "r.html"), "--db", address),
    ]
    for call in calls:
        code, out, err = run(*call)
        assert code == 0, (call, err)
        assert postgres.password not in out + err
        assert "not%2Ftold" not in out + err
    assert "not%2Ftold" not in (tmp_path / "r.html").read_text()
    for call in (("show", "--db"), ("records", "export", str(tmp_path / "y"), "--debug", "--db")):
        code, out, err = run(*call, postgres.address("postgres", "wrong-secret"))
        assert (code > 0, out) == (True, "")
        assert "did not accept the password" in err
        assert "wrong-secret" not in err
