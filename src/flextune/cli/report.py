"""`flextune report`: what the records say, as one page that opens offline."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from flextune.cli.arguments import DatabasePath


def report(
    what: Annotated[
        str | None,
        typer.Argument(
            metavar="[MODEL|WORKLOAD|KEY]", help="Only this model, workload, or what has this key (default: all)."
        ),
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The page to write.")] = Path(
        "report.html"
    ),
    spaces: Annotated[
        bool,
        typer.Option("--spaces", help="Also count the space of each task, for the share that was seen (slower)."),
    ] = False,
    db: DatabasePath = None,
) -> None:
    """Write a page: how much faster and how sure, where the time goes, why, how the search went, what to do next."""
    from datetime import UTC, datetime

    from flextune.cli.inputs import check_output, database_path
    from flextune.cli.working import working
    from flextune.database.store import open_database
    from flextune.report.bounds import task_bounds
    from flextune.report.contents import read_contents
    from flextune.report.page import page
    from flextune.report.spaces import space_sizes
    from flextune.report.subject import Subject

    path = database_path(db)
    check_output(output, path)
    with working(f"reading {path}") as work:
        with open_database(path, must_exist=True) as database:
            contents = read_contents(database, what)
        work.now("making the page")
        sizes = space_sizes(contents.tasks) if spaces else {}
        text = page(Subject(contents, task_bounds(contents.tasks), sizes), datetime.now(UTC))
    output.write_text(text, encoding="utf-8")
    print(f"{output}: {contents.trials} trials of {len(contents.tasks)} tasks, {len(text) / 1e6:.1f} MB")
