"""`flextune pretrain`: a cost model from all records of a database, for `tune --pretrained`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flextune.cli.arguments import DatabasePath, Json, TargetText
from flextune.cli.output import print_json, table

if TYPE_CHECKING:
    from flextune.cost.pretrained import PretrainedModel
    from flextune.database.address import DatabaseAddress


def pretrain(
    db: DatabasePath = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Model file to write (default: beside the records, DB.cost-model.json)."),
    ] = None,
    target: TargetText = None,
    loss: Annotated[
        str, typer.Option(help="What is learned: the throughput (regression) or its order (ranking).")
    ] = "regression",
    as_json: Json = False,
) -> None:
    """Learn a cost model from the records of all workloads; tuning of others starts from it with --pretrained."""
    from flextune.cli.inputs import check_output, database_path, read_target, require_known
    from flextune.cli.working import working
    from flextune.cost.pretrained import LOSSES
    from flextune.cost.pretrained import pretrain as learned
    from flextune.cost.pretrained_file import save_model
    from flextune.cost.quality import held_out_correlation
    from flextune.database.store import open_database
    from flextune.tuning.pretraining import recorded_tasks

    require_known("loss", loss, LOSSES)
    machine, path = read_target(target), database_path(db)
    file = out or default_file(path)
    check_output(file, path)
    with working(f"reading {path}") as work:
        with open_database(path, must_exist=True) as database:
            recorded = recorded_tasks(database.records(), machine)
        work.now(f"learning from {len(recorded.tasks)} workloads")
        model = learned(recorded.tasks, machine.key, loss)
        save_model(model, file)
        work.now("checking on workloads that are left out")
        correlation = held_out_correlation(recorded.tasks, machine.key, loss)
    if as_json:
        training = model.training
        print_json(
            {
                "model": str(file),
                "db": path,
                "target": training.target,
                "loss": training.loss,
                "tasks": training.tasks,
                "records": training.records,
                "left_out": recorded.left_out,
                "operators": dict(training.operators),
                "features": len(model.features),
                "held_out_correlation": correlation,
            }
        )
    else:
        print(_report(model, file, recorded.left_out, correlation))


def default_file(db: DatabaseAddress) -> Path:
    """`records.db` -> `records.cost-model.json`; in this folder where the records are on a server."""
    return Path("flextune.cost-model.json") if db.is_server else Path(db).with_suffix(".cost-model.json")


def _report(model: PretrainedModel, file: Path, left_out: int, correlation: float) -> str:
    training = model.training
    lines = [
        f"{file}: learned from {training.records} records of {training.tasks} workloads",
        table(("operator", "records"), [(name, str(count)) for name, count in training.operators], "  "),
        f"target    {training.target}",
        f"left out  {left_out} records of other targets, of objectives or of unknown workloads",
    ]
    if math.isfinite(correlation):
        lines.append(
            f"on workloads left out of the training, its order agrees with the measured one by {correlation:.2f}"
        )
    return "\n".join([*lines, f"use it: flextune tune WORKLOAD --pretrained {file}"])
