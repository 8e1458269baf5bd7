"""`flextune records export|import`: records as JSON Lines, to share or to keep under version control."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from flextune.cli.arguments import DatabasePath, Json
from flextune.cli.output import JsonValue, print_json

app = typer.Typer(help="Export records to JSON Lines, or import them.", no_args_is_help=True, rich_markup_mode=None)

_File = Annotated[Path, typer.Argument(help="A JSON Lines file, one record a line.")]


@app.command("export")
def export_records(file: _File, db: DatabasePath = None, as_json: Json = False) -> None:
    """Write all records to FILE, replacing it."""
    from flextune.cli.inputs import database_path
    from flextune.database.jsonl import export_jsonl
    from flextune.database.store import open_database

    path = database_path(db)
    with open_database(path, must_exist=True) as database:
        count = export_jsonl(database, file)
    if as_json:
        print_json({"db": path, "file": str(file), "exported": count})
    else:
        print(f"{count} records of {path} written to {file}")


@app.command("import")
def import_records(file: _File, db: DatabasePath = None, as_json: Json = False) -> None:
    """Add the records of FILE; damaged lines are reported with their number and skipped."""
    from flextune.cli.inputs import database_path
    from flextune.database.jsonl import import_jsonl
    from flextune.database.store import open_database

    path = database_path(db)
    with open_database(path) as database:
        report = import_jsonl(database, file)
    for damaged in report.damaged:
        print(f"flextune: {file}: {damaged}; skipped", file=sys.stderr)
    if as_json:
        damage: list[JsonValue] = [{"line": damaged.line, "reason": damaged.reason} for damaged in report.damaged]
        counts = {"imported": report.imported, "duplicates": report.duplicates}
        print_json({"db": path, "file": str(file), **counts, "damaged": damage})
    else:
        print(f"{report.imported} records added to {path}, {report.duplicates} known, {len(report.damaged)} damaged")
