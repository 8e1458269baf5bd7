"""`flextune records`: export and import as JSON Lines, Kernel Tuner caches or T4 files; the rest is in `sharing.py`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flextune.cli import sharing
from flextune.cli.arguments import DatabasePath, Json
from flextune.cli.output import JsonValue, print_json
from flextune.errors import UsageError

if TYPE_CHECKING:
    from flextune.database.database import Database

app = typer.Typer(
    help="Records to and from files, other databases, and sets to share.", no_args_is_help=True, rich_markup_mode=None
)

_JSONL = "jsonl"
_File = Annotated[Path, typer.Argument(help="The file; the formats of other tuners may end in .json or .json.gz.")]
_Format = Annotated[
    str,
    typer.Option(
        "--format",
        help="jsonl (all records and decisions, one a line), kernel-tuner or t4 (one workload's, as a table).",
    ),
]


@app.command("export")
def export_records(
    file: _File,
    format: _Format = _JSONL,
    workload: Annotated[
        str | None, typer.Option("--workload", help="Only this workload, by name or key (default: all).")
    ] = None,
    target: Annotated[
        str | None, typer.Option("--target-key", help="Only this target, by its key (default: all).")
    ] = None,
    db: DatabasePath = None,
    as_json: Json = False,
) -> None:
    """Write records to FILE, replacing it."""
    from flextune.cli.inputs import check_output, database_path
    from flextune.cli.working import working
    from flextune.database.store import open_database

    _need_format(format)
    path = database_path(db)
    check_output(file, path)
    with working(f"reading {path}"), open_database(path, must_exist=True) as database:
        count = _export(database, file, format, workload, target)
    if as_json:
        print_json({"db": path, "file": str(file), "exported": count})
    else:
        print(f"{count} records of {path} written to {file}")


@app.command("import")
def import_records(file: _File, format: _Format = _JSONL, db: DatabasePath = None, as_json: Json = False) -> None:
    """Add the records of FILE. Damaged lines of JSON Lines are reported with their number and skipped."""
    from flextune.cli.inputs import database_path
    from flextune.cli.working import working
    from flextune.database.exchange import import_table
    from flextune.database.jsonl import import_jsonl
    from flextune.database.store import open_database

    _need_format(format)
    path = database_path(db)
    with working(f"reading {file}"), open_database(path) as database:
        report = import_jsonl(database, file) if format == _JSONL else import_table(database, file)
    if report.damaged and not (report.imported or report.duplicates or report.decisions):
        raise UsageError(
            f"{file} holds no {format} records: {report.damaged[0]}; the tables of other tuners need --format"
        )
    for damaged in report.damaged:
        print(f"flextune: {file}: {damaged}; skipped", file=sys.stderr)
    if as_json:
        damage: list[JsonValue] = [{"line": damaged.line, "reason": damaged.reason} for damaged in report.damaged]
        counts = {"imported": report.imported, "duplicates": report.duplicates, "decisions": report.decisions}
        print_json({"db": path, "file": str(file), **counts, "damaged": damage})
    else:
        counted = f"{report.duplicates} known, {len(report.damaged)} damaged"
        print(f"{report.imported} records and {report.decisions} decisions added to {path}, {counted}")


app.command("sync")(sharing.sync_records)
app.command("publish")(sharing.publish_records)
app.command("fetch")(sharing.fetch_records)


def _need_format(name: str) -> None:
    from flextune.cli.inputs import require_known
    from flextune.database.space_files import TABLE_FORMATS

    require_known("format", name, (_JSONL, *TABLE_FORMATS))


def _export(database: Database, file: Path, format: str, workload: str | None, target_key: str | None) -> int:
    from flextune.cli.replay import of_this
    from flextune.database.exchange import export_table
    from flextune.database.jsonl import write_jsonl
    from flextune.trial.decision import Decision

    records = database.records(target_key=target_key)
    if workload is not None:
        keyed = [record for record in records if record.workload_key == workload]
        records = keyed or of_this(records, workload)
    if workload is not None and not records:
        raise UsageError(
            f"no records of {workload} on {target_key or 'any target'}; `flextune show` lists what there is"
        )
    if format != _JSONL:
        return export_table(records, file, format)
    return write_jsonl(records, file, () if workload is not None else database.decisions(Decision, target_key))
