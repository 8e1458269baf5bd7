from dataclasses import replace

import pytest

from flextune.database.jsonl import DamagedLine, export_jsonl, import_jsonl
from flextune.database.store import open_database
from flextune.errors import DatabaseError, UsageError
from flextune.testing.databases import example_decision, example_layouts, example_record, example_verdict
from flextune.trial.decision import Decision


@pytest.fixture
def database(tmp_path):
    with open_database(tmp_path / "r.db") as opened:
        yield opened


def test_round_trip_loses_nothing(database, tmp_path):
    expected = [example_record(2, 0.1), example_record(3, None, error='two\nlines, "quoted" é'), example_record(2, 0.2)]
    database.commit_all(expected)
    assert export_jsonl(database, tmp_path / "r.jsonl") == 3
    with open_database(tmp_path / "other.db") as other:
        report = import_jsonl(other, tmp_path / "r.jsonl")
        assert (report.imported, report.duplicates, report.damaged) == (3, 0, ())
        assert other.records() == expected


def test_import_twice_adds_nothing(database, tmp_path):
    database.commit_all(example_record(tile) for tile in range(1, 600))
    export_jsonl(database, tmp_path / "r.jsonl")
    report = import_jsonl(database, tmp_path / "r.jsonl")
    assert (report.imported, report.duplicates) == (0, 599)
    assert len(database.records()) == 599


def test_damaged_lines_are_numbered_and_skipped(database, tmp_path):
    good = [example_record(tile).to_json() for tile in (1, 2, 3)]
    lines = [good[0], "{not json", good[1][: len(good[1]) // 2], "", good[1], '{"format": 9}', "\xff\xfe", good[2]]
    (tmp_path / "r.jsonl").write_bytes("\n".join(lines).encode("latin-1"))
    report = import_jsonl(database, tmp_path / "r.jsonl")
    assert report.imported == 3
    assert [damage.line for damage in report.damaged] == [2, 3, 6, 7]
    assert "'format' 1 or 2, got 9" in report.damaged[2].reason
    assert str(DamagedLine(2, "why")) == "line 2: why"


def test_export_of_one_task(database, tmp_path):
    database.commit_all([example_record(1), example_record(1, workload_key="other")])
    assert export_jsonl(database, tmp_path / "r.jsonl", workload_key="other") == 1
    assert example_record(1, workload_key="other").to_json() + "\n" == (tmp_path / "r.jsonl").read_text()


def test_file_that_cannot_be_read_or_written(database, tmp_path):
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        import_jsonl(database, tmp_path / "none.jsonl")
    with pytest.raises(DatabaseError, match="cannot be written to"):
        export_jsonl(database, tmp_path / "none" / "r.jsonl")


def test_failed_export_keeps_the_old_file(database, tmp_path):
    target = tmp_path / "r.jsonl"
    target.mkdir()
    with pytest.raises(DatabaseError):
        export_jsonl(database, target)
    assert [file.name for file in tmp_path.iterdir() if "partial" in file.name] == []


def test_decisions_travel_and_the_newest_counts(database, tmp_path):
    old = example_decision("k", "fused")
    new = replace(old, reason="measured again", created="2026-02-01T00:00:00+00:00")
    database.commit_all([example_record(1)])
    database.decide([old])
    export_jsonl(database, tmp_path / "old.jsonl")
    export_jsonl(database, tmp_path / "none.jsonl", workload_key=example_record(1).workload_key)
    with open_database(tmp_path / "other.db") as other:
        assert import_jsonl(other, tmp_path / "none.jsonl").decisions == 0
        assert import_jsonl(other, tmp_path / "old.jsonl").decisions == 1
        assert other.decisions(Decision) == [old]
        other.decide([new])
        assert import_jsonl(other, tmp_path / "old.jsonl").decisions == 0
        assert other.decisions(Decision) == [new]
    (tmp_path / "bad.jsonl").write_text('{"decision": 7}\n')
    assert [damage.line for damage in import_jsonl(database, tmp_path / "bad.jsonl").damaged] == [1]


def test_lines_that_are_nested_too_deeply_are_damaged(database, tmp_path):
    deep = "[" * 100_000
    lines = [deep, example_record(1).to_json(), '{"decision":' + deep]
    (tmp_path / "r.jsonl").write_text("\n".join(lines))
    report = import_jsonl(database, tmp_path / "r.jsonl")
    assert (report.imported, [damaged.line for damaged in report.damaged]) == (1, [1, 3])


def test_decisions_of_all_kinds_travel_even_with_one_key(database, tmp_path):
    decisions = [example_decision("k", "fused"), example_layouts("k"), example_verdict("k")]
    database.decide(decisions)
    export_jsonl(database, tmp_path / "r.jsonl")
    with open_database(tmp_path / "other.db") as other:
        assert import_jsonl(other, tmp_path / "r.jsonl").decisions == 3
        assert other.decisions(Decision) == decisions
