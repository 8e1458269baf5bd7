"""`flextune records sync|publish|fetch`: records of several machines in one place."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flextune.cli.arguments import DatabasePath, Json
from flextune.cli.output import JsonValue, print_json

if TYPE_CHECKING:
    from flextune.database.record_set import RecordSet

_Database = Annotated[str, typer.Argument(metavar="FILE|URL", help="A records file or postgresql://user@host/name.")]
_Set = Annotated[
    str,
    typer.Argument(metavar="FOLDER|URL", help="A folder, or a URL such as s3://bucket/folder or ssh://host/folder."),
]


def sync_records(first: _Database, second: _Database, as_json: Json = False) -> None:
    """Give each of two databases what only the other has. The second is made where it is missing."""
    from flextune.cli.inputs import database_path
    from flextune.cli.working import working
    from flextune.database.merging import check_two, merge
    from flextune.database.store import open_database

    one, other = database_path(first), database_path(second)
    check_two(one, other)
    with (
        working(f"reading {one} and {other}"),
        open_database(one, must_exist=True) as left,
        open_database(other) as right,
    ):
        got = merge(left, right)
    if as_json:
        told: list[JsonValue] = [
            {"db": name, "records": each.records, "decisions": each.decisions}
            for name, each in zip((one, other), got, strict=True)
        ]
        print_json({"added": told})
        return
    for name, each in zip((one, other), got, strict=True):
        print(f"{each.records} records and {each.decisions} decisions added to {name}")


def publish_records(
    place: _Set,
    licence: Annotated[
        str, typer.Option("--licence", "--license", help="What others may do with them, such as CC0-1.0 or Apache-2.0.")
    ],
    name: Annotated[
        str | None, typer.Option("--name", help="What to call the set (default: the folder's name).")
    ] = None,
    target: Annotated[
        str | None, typer.Option("--target-key", help="Only this target, by its key (default: all).")
    ] = None,
    db: DatabasePath = None,
    as_json: Json = False,
) -> None:
    """Write records as a set for others to fetch: with checksums, licence, and what measured them."""
    from flextune.cli.inputs import database_path
    from flextune.cli.working import working
    from flextune.database.record_set import publish
    from flextune.database.set_storage import set_storage
    from flextune.database.store import open_database

    path, storage = database_path(db), set_storage(place)
    with working(f"reading {path}"), open_database(path, must_exist=True) as database:
        done = publish(storage, database, name or Path(place).name, licence, target)
    if as_json:
        counts = {"records": len(done.records), "decisions": len(done.decisions)}
        print_json({"db": path, "set": storage.name, **_facts(done), **counts})
        return
    print(f"{len(done.records)} records and {len(done.decisions)} decisions of {path} published in {storage.name}")
    print(f"digest {done.digest}")


def fetch_records(
    place: _Set,
    digest: Annotated[
        str | None, typer.Option("--digest", help="As publish printed it: refuse any other set than that one.")
    ] = None,
    db: DatabasePath = None,
    as_json: Json = False,
) -> None:
    """Add the records of a published set, all or, where a file is damaged, none. Nothing of it is run."""
    from flextune.cli.inputs import database_path
    from flextune.cli.working import working
    from flextune.database.record_set import add_set, read_set
    from flextune.database.set_storage import set_storage
    from flextune.database.store import open_database
    from flextune.printable import printable

    path, storage = database_path(db), set_storage(place)
    with working(f"reading {storage.name}") as work:
        found = read_set(storage, digest)  # before there is a database: of a damaged set not even an empty one comes
        work.now(f"writing {path}")
        with open_database(path) as database:
            added = add_set(database, found)
    known = len(found.records) - added.records
    if as_json:
        counts = {"records": added.records, "decisions": added.decisions, "known": known}
        print_json({"db": path, "set": storage.name, **_facts(found), **counts})
        return
    manifest = found.manifest
    lines = [
        f"{added.records} records and {added.decisions} decisions of set {manifest.name} added to {path}",
        f"{known} records left out, as their candidates are known here; licence {manifest.licence}",
        *(
            f"  {each.records} records on {key}, measured {each.first[:10]} to {each.last[:10]}"
            for key, each in manifest.targets.items()
        ),
    ]
    print(printable("\n".join(lines)))


def _facts(found: RecordSet) -> dict[str, str]:
    return {"name": found.manifest.name, "licence": found.manifest.licence, "digest": found.digest}
