"""Databases that are merged, and sets that are published and fetched: nothing lost, nothing twice, nothing damaged."""

from __future__ import annotations

import gzip
import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest

from flextune.database.address import DatabaseAddress
from flextune.database.merging import Added, check_two, merge
from flextune.database.record_set import Manifest, add_set, publish, read_set
from flextune.database.set_storage import set_storage
from flextune.database.store import open_database
from flextune.errors import DamagedError, FlextuneError, UsageError
from flextune.testing.databases import TARGET, WORKLOAD, example_decision, example_record, example_verdict
from flextune.testing.postgres import PostgresServer
from flextune.trial.decision import Decision

LATER = "2026-02-01T00:00:00+00:00"
SUMS = "SHA256SUMS"


def records(*tiles: int, seed: int = 0):
    return [example_record(tile, seed=seed) for tile in tiles]


def merged(first: str | Path, second: str | Path) -> None:
    """Both begin apart, and end with the same, once."""
    with open_database(first) as left, open_database(second) as right:
        left.commit_all(records(1, 2, 3))
        right.commit_all(records(3, 4))
        left.decide([example_decision("a", "fused"), replace(example_decision("b", "parts"), created=LATER)])
        right.decide([replace(example_decision("a", "parts"), created=LATER), example_decision("b", "fused")])
        right.decide([example_verdict("c")])
        assert merge(left, right) == (Added(1, 2), Added(2, 1))
        assert left.records() == records(1, 2, 3, 4)
        assert right.records() == records(3, 4, 1, 2)
        decisions = set(left.decisions(Decision))
        assert decisions == set(right.decisions(Decision))
        assert {each.answer for each in decisions} >= {"parts"}
        assert len(decisions) == 3
        assert merge(left, right) == merge(right, left) == (Added(0, 0), Added(0, 0))


def test_two_files_are_merged(tmp_path: Path) -> None:
    merged(tmp_path / "a.db", tmp_path / "b.db")


def test_a_file_and_a_server_are_merged(
    tmp_path: Path, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLEXTUNE_JOURNAL", str(tmp_path / "journal"))
    merged(tmp_path / "a.db", postgres.address(f"merged_{tmp_path.name}"))


def test_a_decision_from_the_future_gives_way(tmp_path: Path) -> None:
    """It was made by a clock that is wrong, and would win for as long as that is ahead."""
    wrong = replace(example_decision("a", "fused"), created="2126-01-01T00:00:00+00:00")
    right = example_decision("a", "parts")
    with open_database(tmp_path / "a.db") as first, open_database(tmp_path / "b.db") as second:
        first.decide([wrong])
        second.decide([right])
        assert merge(first, second) == (Added(0, 1), Added(0, 0))
        assert first.decisions(Decision) == second.decisions(Decision) == [right]


def test_an_earlier_measurement_that_arrives_later_is_not_the_latest(tmp_path: Path) -> None:
    """Each database has measured the same candidate, and both know afterwards which one was last."""
    early = replace(example_record(1, 0.1), created="2025-03-01T00:00:00+00:00")
    late = replace(example_record(1, 0.4, seed=1), created=LATER)
    with open_database(tmp_path / "a.db") as first, open_database(tmp_path / "b.db") as second:
        first.commit(late)
        second.commit(early)
        assert merge(first, second) == (Added(1, 0), Added(1, 0))
        for database in (first, second):
            assert database.best(WORKLOAD, TARGET) == late
            assert database.records() == [early, late]


def test_one_database_is_not_merged_with_itself(tmp_path: Path) -> None:
    open_database(tmp_path / "a.db").close()
    (tmp_path / "link.db").symlink_to(tmp_path / "a.db")
    server = "postgresql://me:one@host/name"
    for one, other in ((tmp_path / "a.db", tmp_path / "link.db"), (server, server.replace("one", "two"))):
        with pytest.raises(UsageError, match="are the same database: name two"):
            check_two(DatabaseAddress.of(one), DatabaseAddress.of(other))
    check_two(DatabaseAddress.of(tmp_path / "a.db"), DatabaseAddress.of(tmp_path / "new.db"))


def published(folder: Path, licence: str = "CC0-1.0") -> str:
    """The digest of a set of three records and a decision."""
    with open_database(folder.with_suffix(".db")) as database:
        database.commit_all(records(1, 2, 3))
        database.decide([example_decision("a", "fused")])
        return publish(set_storage(str(folder)), database, "examples", licence).digest


def test_a_set_comes_back_whole_and_says_what_it_is(tmp_path: Path) -> None:
    digest = published(tmp_path / "set")
    found = read_set(set_storage(str(tmp_path / "set")), digest)
    assert (list(found.records), found.decisions) == (records(1, 2, 3), (example_decision("a", "fused"),))
    facts = found.manifest.targets[TARGET]
    assert (found.manifest.licence, facts.records, facts.workloads, facts.hosts) == ("CC0-1.0", 3, 1, ("example",))
    assert Manifest.from_json(found.manifest.to_json()) == found.manifest
    for line in (tmp_path / "set" / SUMS).read_text().splitlines():
        expected, file = line.split("  ")
        assert hashlib.sha256((tmp_path / "set" / file).read_bytes()).hexdigest() == expected
    with open_database(tmp_path / "new.db") as database:
        assert add_set(database, found) == Added(3, 1)
        assert add_set(database, found) == Added(0, 0)
        assert database.best(WORKLOAD, TARGET) == example_record(1)


def test_what_was_measured_and_decided_here_counts_more(tmp_path: Path) -> None:
    published(tmp_path / "set")
    own = example_record(2, 0.5, seed=7)
    decided = replace(example_decision("a", "parts"), created="2020-01-01T00:00:00+00:00")
    with open_database(tmp_path / "own.db") as database:
        database.commit(own)
        database.decide([decided])
        assert add_set(database, read_set(set_storage(str(tmp_path / "set")))) == Added(2, 0)
        assert database.records() == [own, *records(1, 3)]
        assert database.decisions(Decision) == [decided]


@pytest.mark.parametrize("file", ["records.jsonl.gz", "manifest.json", SUMS])
@pytest.mark.parametrize("damage", ["changed", "cut off", "gone", "empty"])
def test_a_damaged_file_is_named(tmp_path: Path, file: str, damage: str) -> None:
    published(tmp_path / "set")
    path = tmp_path / "set" / file
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    wrong = {"changed": bytes(content), "cut off": bytes(content[:-5]), "empty": b""}.get(damage)
    path.unlink() if wrong is None else path.write_bytes(wrong)
    with pytest.raises(FlextuneError) as caught:
        read_set(set_storage(str(tmp_path / "set")))
    named = "records.jsonl.gz" if (file, damage) == (SUMS, "changed") else file
    assert named in str(caught.value) or (file == SUMS and "is damaged" in str(caught.value))
    assert ("nothing was imported" in str(caught.value)) == (damage != "gone")


def forged(folder: Path, manifest: dict[str, object], text: bytes, **changes: object) -> None:
    """A set whose sums are right, and whose content is not."""
    manifest = manifest | {"record_bytes": len(text)} | changes
    (folder / "records.jsonl.gz").write_bytes(gzip.compress(text))
    (folder / "manifest.json").write_text(json.dumps(manifest))
    names = ("records.jsonl.gz", "manifest.json")
    sums = [f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n" for name in names]
    (folder / SUMS).write_text("".join(sums))


def test_a_set_with_other_content_than_it_says_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    digest = published(folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    lines = [each.to_json().encode() + b"\n" for each in (*records(1, 2, 3), example_decision("a", "fused"))]
    whole = b"".join(lines)
    program = lines[0].replace(b'"body": null', b'"body": "__import__(1)"').replace(b"gemm:", b"tir:")
    assert program != lines[0]
    for text, changes, message in (
        (program + b"".join(lines[1:]), {}, r"records\.jsonl\.gz is damaged: line 1: "),
        (whole[:-20], {}, "line 4: "),
        (whole, {"record_bytes": 10**12}, "does not hold the 1000000000000 bytes"),
        (b"x" * 10**6, {"record_bytes": 10}, "does not hold the 10 bytes"),
        (whole, {"records": 2}, "does not hold as many records"),
        (whole, {"format": 2}, r"manifest\.json is damaged: it is of format 2, .*use a newer one"),
        (whole, {"licence": 3}, "wrong types"),
        (whole, {"targets": {"x": {"records": 1}}}, "no manifest"),
    ):
        forged(folder, manifest, text, **changes)
        with pytest.raises(DamagedError, match=message):
            read_set(set_storage(str(folder)))
    forged(folder, manifest, whole)
    assert len(read_set(set_storage(str(folder))).records) == 3
    with pytest.raises(DamagedError, match="it is another set, or was changed; nothing was imported"):
        read_set(set_storage(str(folder)), digest)
    (folder / SUMS).write_text((folder / SUMS).read_text().replace("manifest.json", "../../secret"))
    with pytest.raises(DamagedError, match="SHA256SUMS is damaged: expected the checksums of"):
        read_set(set_storage(str(folder)))


def test_a_set_needs_a_licence_records_and_a_new_place(tmp_path: Path) -> None:
    published(tmp_path / "set")
    with pytest.raises(UsageError, match="there is one already"):
        published(tmp_path / "set")
    with pytest.raises(UsageError, match="needs a licence"):
        published(tmp_path / "other", licence=" ")
    with open_database(tmp_path / "empty.db") as database, pytest.raises(UsageError, match="holds no records"):
        publish(set_storage(str(tmp_path / "x")), database, "x", "MIT")
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        read_set(set_storage(str(tmp_path / "nowhere")))
    assert not (tmp_path / "other").exists()


def test_a_file_server_is_reached_by_its_url() -> None:
    pytest.importorskip("fsspec", reason="fsspec is not installed")
    storage = set_storage("memory://sets/one")
    for name, content in (("a", b"1"), ("b", b"2")):
        storage.write(name, content)
    assert (storage.read("a"), storage.holds("b"), storage.holds("c")) == (b"1", True, False)
    with pytest.raises(UsageError, match="set of records memory://sets/one: c cannot be read"):
        storage.read("c")
    with pytest.raises(UsageError, match="set of records nothing://host/x: it cannot be reached") as caught:
        set_storage("nothing://me:hush@host/x")
    assert "hush" not in str(caught.value)
