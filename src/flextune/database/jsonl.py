"""Records as JSON Lines: one record per line, the form to share, and to read elsewhere.

Decisions on models and their groups follow the records, a line each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from flextune.database.database import Database
from flextune.database.merging import add_newer
from flextune.errors import DatabaseError, FlextuneError, UsageError
from flextune.trial.decision import Decision
from flextune.trial.record import TuningRecord

_BATCH = 256
_DECISION = '{"decision":'


@dataclass(frozen=True, slots=True)
class DamagedLine:
    """A line that is not a record: its number, from 1, and why."""

    line: int
    reason: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.reason}"


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import did: new records, records that were there before, and lines that were skipped.

    `decisions` counts those on models and their groups that are new, or newer than what was there.
    """

    imported: int
    duplicates: int
    damaged: tuple[DamagedLine, ...]
    decisions: int = 0


def export_jsonl(
    database: Database, path: Path | str, workload_key: str | None = None, target_key: str | None = None
) -> int:
    """Write the records of this workload and target to `path`, replacing it, and return their number.

    Without a workload the decisions come along. The file appears under its name only when it is complete.
    """
    decisions = database.decisions(Decision, target_key) if workload_key is None else ()
    return write_jsonl(database.records(workload_key, target_key), path, decisions)


def write_jsonl(records: Sequence[TuningRecord], path: Path | str, decisions: Sequence[Decision] = ()) -> int:
    """Write these records and decisions to `path`, as `export_jsonl` does; returns the number of records."""
    path = Path(path)
    lines = [*(record.to_json() for record in records), *(decision.to_json() for decision in decisions)]
    partial = path.with_name(path.name + ".partial")
    try:
        partial.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise DatabaseError(f"records cannot be written to {path}: {error.strerror}") from error
    return len(records)


def import_jsonl(database: Database, path: Path | str) -> ImportReport:
    """Add the records of a JSON Lines file. Damaged lines are reported and skipped, known records are skipped."""
    imported = duplicates = 0
    damaged: list[DamagedLine] = []
    batch: list[TuningRecord] = []
    decisions: list[Decision] = []

    def flush() -> None:
        nonlocal imported, duplicates
        new = database.commit_all(batch)
        imported, duplicates = imported + new, duplicates + len(batch) - new
        batch.clear()

    for number, line in enumerate(_lines(path), start=1):
        if not line.strip():
            continue
        try:
            read = parsed_line(line)
        except FlextuneError as error:
            damaged.append(DamagedLine(number, str(error)))
        else:
            decisions.append(read) if isinstance(read, Decision) else batch.append(read)
        if len(batch) >= _BATCH:
            flush()
    flush()
    return ImportReport(imported, duplicates, tuple(damaged), add_newer(database, decisions))


def parsed_line(line: bytes) -> TuningRecord | Decision:
    """What one line says; UsageError where that is neither."""
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(str(error)) from error
    return Decision.from_json(text) if text.lstrip().startswith(_DECISION) else TuningRecord.from_json(text)


def _lines(path: Path | str) -> list[bytes]:
    """Lines as bytes: a broken encoding damages one line, not the file."""
    try:
        return Path(path).read_bytes().split(b"\n")
    except OSError as error:
        raise UsageError(f"records file {path} cannot be read: {error.strerror}") from error
