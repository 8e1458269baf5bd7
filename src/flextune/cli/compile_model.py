"""`flextune compile`: a model with its best recorded schedules as a shared library."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from flextune.cli.arguments import DatabasePath, Json, Shapes, TargetText
from flextune.cli.output import JsonValue, print_json
from flextune.errors import UsageError


def compile_model(
    model: Annotated[Path, typer.Argument(help="An ONNX file.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The shared library to write.")],
    target: TargetText = None,
    shape: Shapes = None,
    db: DatabasePath = None,
    as_json: Json = False,
) -> None:
    """Build a model with its best recorded schedules and write it as a library that `flextune.load` takes.

    On the machine it is built for, the whole model is timed against the one with default schedules; the faster one is
    written.
    """
    from flextune.apply.artifact import save_executable
    from flextune.cli.inputs import database_path, read_shapes, read_target
    from flextune.cli.models import best_records, build_with, compare_builds, read_partition
    from flextune.database.store import open_database
    from flextune.target.detect import detect

    if output.is_dir() or not output.absolute().parent.is_dir():
        raise UsageError(f"cannot write {output}: expected a file in an existing folder")
    chosen, path = read_target(target), database_path(db)
    partition = read_partition(model, read_shapes(shape))
    records = {}
    if db is not None or Path(path).exists():
        with open_database(path, must_exist=True) as database:
            records = best_records(partition, database, chosen)
    if records and chosen.key == detect().key:
        built = compare_builds(partition, records, chosen).faster
    else:
        built = build_with(partition, records, chosen)
    saved = save_executable(built.executable, output)
    origins = Counter(str(task.origin) for task in built.tasks)
    if as_json:
        tasks: list[JsonValue] = [
            {"name": task.name, "count": task.count, "origin": str(task.origin), "reason": task.reason}
            for task in built.tasks
        ]
        print_json({"model": str(model), "output": str(saved), "db": path, "tasks": tasks})
        return
    for task in built.tasks:
        if task.reason:
            print(f"  {task.name}: {task.origin} schedule, because {task.reason}")
    parts = ", ".join(f"{count} {origin}" for origin, count in origins.items())
    print(f"{saved}: {len(built.tasks)} distinct groups ({parts})")
