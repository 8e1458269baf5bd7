"""`flextune replay`: build a recorded candidate again, check its output, and time it."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flextune.cli.arguments import DatabasePath, Json
from flextune.cli.output import JsonValue, amount, print_json
from flextune.errors import FlextuneError, UsageError

if TYPE_CHECKING:
    from flextune.trial.measurement import Candidate, Measurement
    from flextune.trial.record import TuningRecord


def replay(
    what: Annotated[str, typer.Argument(help="A record's id (as `show` prints it), or a workload: its best record.")],
    records: Annotated[
        Path | None, typer.Option("--records", help="Take the record from this JSON Lines file instead of a database.")
    ] = None,
    runner: Annotated[
        str | None, typer.Option("--runner", help="What measures for another target than this machine: qemu, ssh:HOST.")
    ] = None,
    db: DatabasePath = None,
    as_json: Json = False,
) -> None:
    """Build a record again, check its output and time it; exit code 1 when it fails or computes something else."""
    record = choose_record(read_records(records, db), what)
    measurement = measure_record(record, runner)
    if as_json:
        print_json(
            {
                "id": record.key,
                "workload": record.workload,
                "target": record.target,
                "assignment": record.assignment,
                "status": str(measurement.status),
                **costs(record, measurement),
                "max_error": measurement.max_error,
                "error": measurement.error,
            }
        )
    else:
        print(_text(record, measurement))
    if not measurement.ok:
        raise FlextuneError(f"record {record.key} of {record.workload}: {measurement.status}: {measurement.error}")


def read_records(file: Path | None, db: str | None) -> list[TuningRecord]:
    """All records of a JSON Lines file (damaged lines reported and skipped), or of the database."""
    from flextune.cli.inputs import database_path
    from flextune.database.jsonl import import_jsonl
    from flextune.database.store import open_database
    from flextune.temporary import PrivateFolder

    if file is None:
        with open_database(database_path(db), must_exist=True) as database:
            return database.records()
    with PrivateFolder(kind="replay") as folder, open_database(folder.path / "records.db") as database:
        for damaged in import_jsonl(database, file).damaged:
            print(f"flextune: {file}: {damaged}; skipped", file=sys.stderr)
        return database.records()


def choose_record(records: Sequence[TuningRecord], what: str) -> TuningRecord:
    """The latest record with this id (or the only one whose id begins so), else the best record of this workload."""
    latest = {record.key: record for record in records}
    matches = [key for key in latest if len(what) >= 4 and key.startswith(what.lower())]
    if len(matches) == 1:
        return latest[matches[0]]
    if len(matches) > 1:
        raise UsageError(f"{len(matches)} records have an id that begins with {what!r}; give more of it")
    if re.fullmatch(r"[0-9a-f]{4,16}", what.lower()):
        raise UsageError(f"no record has the id {what!r}; `flextune show` lists the best ones, `records export` all")
    return best_record(records, what)


def best_record(records: Sequence[TuningRecord], workload: str) -> TuningRecord:
    """The fastest of the workload's records. Raises `UsageError` when there is none that ran."""
    from flextune.trial.evidence import best_record as fastest

    of_workload = of_this(records, workload)
    if not of_workload:
        raise UsageError(f"no record of {workload}; `flextune show` lists what is recorded")
    best = fastest(of_workload)
    if best is None:
        raise UsageError(f"none of the {len(of_workload)} records of {workload} ran; `flextune show` says why")
    return best


def of_this(records: Sequence[TuningRecord], workload: str) -> list[TuningRecord]:
    """The records of a workload, named as the records or `show` name it, or in any way that `parse_workload` takes."""
    from flextune.workload.parse import parse_workload

    named = [record for record in records if record.workload == workload]
    named = named or [record for record in records if record.name == workload]
    if named:
        return named
    key = parse_workload(workload).key
    return [record for record in records if record.workload_key == key]


def recorded_candidate(record: TuningRecord) -> Candidate:
    """What was measured, rebuilt from the record's text. Raises `UsageError` when the record was changed."""
    from flextune.schedule.trace import Trace
    from flextune.target.target import Target
    from flextune.trial.measurement import Candidate
    from flextune.workload.parse import parse_workload

    if record.of_objective:
        raise UsageError(f"record {record.key} is of {record.workload}, which is no tensor program; run it yourself")
    workload = parse_workload(record.workload, record.body)
    target, trace = Target.parse(record.target), Trace.from_json(record.trace)
    candidate = Candidate(workload, target, trace, record.assigned)
    if workload.key != record.workload_key:
        raise UsageError(f"record {record.key}: its key does not belong to its workload {record.workload}")
    return candidate


def measure_record(record: TuningRecord, runner: str | None = None) -> Measurement:
    """One checked measurement of the recorded candidate, on this machine or by another runner of its target.

    Raises `UsageError` where that gives other numbers than those on record.
    """
    from flextune.measure.local import local_runner
    from flextune.measure.measure_options import MeasureOptions
    from flextune.target.kinds import runner_of, scale_of

    candidate = recorded_candidate(record)
    name, scale = runner_of(candidate.target, runner), scale_of(candidate.target, runner)
    if scale != record.scale:
        raise UsageError(f"record {record.key} is of {record.scale}, and {name} gives {scale}: choose another --runner")
    options = MeasureOptions(workers=1, runner="" if runner is None else name)
    with local_runner(options, candidate.target) as opened:
        return next(iter(opened.measure([candidate])))


def costs(record: TuningRecord, measurement: Measurement) -> dict[str, JsonValue]:
    """What it costs now and did then; what is no time is called no seconds."""
    name = "secs" if record.scale.is_time else "cost"
    costs: dict[str, JsonValue] = {name: measurement.secs, f"recorded_{name}": record.secs}
    return {**costs, "unit": record.unit, "origin": record.origin}


def _text(record: TuningRecord, measurement: Measurement) -> str:
    now = amount(measurement.secs, record.scale)
    checked = "output correct" if measurement.ok else f"{measurement.status}: {measurement.error}"
    return "\n".join(
        (
            f"{record.workload}  id {record.key}",
            f"  {record.assignment}",
            f"  {checked}, largest error {measurement.max_error:.3g}",
            f"  now {now}, recorded {amount(record.secs, record.scale)} at {record.created}",
        )
    )
