"""Records as JSON Lines: one record per line, the form to share, and to read elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from flextune.database.base import Database
from flextune.errors import DatabaseError, FlextuneError, UsageError
from flextune.trial.record import TuningRecord

_BATCH = 256


@dataclass(frozen=True, slots=True)
class DamagedLine:
    """A line that is not a record: its number, from 1, and why."""

    line: int
    reason: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.reason}"


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import did: new records, records that were there before, and lines that were skipped."""

    imported: int
    duplicates: int
    damaged: tuple[DamagedLine, ...]


def export_jsonl(
    database: Database, path: Path | str, workload_key: str | None = None, target_key: str | None = None
) -> int:
    """Write the records of this workload and target to `path`, replacing it, and return their number.

    The file appears under its name only when it is complete.
    """
    return write_jsonl(database.records(workload_key, target_key), path)


def write_jsonl(records: Sequence[TuningRecord], path: Path | str) -> int:
    """Write these records to `path`, as `export_jsonl` does."""
    path = Path(path)
    partial = path.with_name(path.name + ".partial")
    try:
        partial.write_text("".join(record.to_json() + "\n" for record in records), encoding="utf-8")
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

    def flush() -> None:
        nonlocal imported, duplicates
        new = database.commit_all(batch)
        imported, duplicates = imported + new, duplicates + len(batch) - new
        batch.clear()

    for number, line in enumerate(_lines(path), start=1):
        if not line.strip():
            continue
        try:
            batch.append(TuningRecord.from_json(line.decode("utf-8")))
        except (FlextuneError, UnicodeDecodeError) as error:
            damaged.append(DamagedLine(number, str(error)))
        if len(batch) >= _BATCH:
            flush()
    flush()
    return ImportReport(imported, duplicates, tuple(damaged))


def _lines(path: Path | str) -> list[bytes]:
    """Lines as bytes: a broken encoding damages one line, not the file."""
    try:
        return Path(path).read_bytes().split(b"\n")
    except OSError as error:
        raise UsageError(f"records file {path} cannot be read: {error.strerror}") from error
