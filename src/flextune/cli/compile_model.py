"""`flextune compile`: a model with its best recorded schedules as a shared library."""

from __future__ import annotations

from collections import Counter
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flextune.cli.arguments import (
    DatabasePath,
    Dims,
    Json,
    OnlyOwn,
    PrecisionName,
    Providers,
    Shapes,
    TargetText,
    Values,
    Without,
)
from flextune.cli.output import JsonValue, print_json
from flextune.errors import UsageError
from flextune.target.sizes import size

if TYPE_CHECKING:
    pass


def compile_model(
    model: Annotated[Path, typer.Argument(help="An ONNX file.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The shared library to write.")],
    target: TargetText = None,
    for_target: Annotated[
        str | None,
        typer.Option("--for-target", help="As --target, but only with records of it: target text, device, or key."),
    ] = None,
    threads: Annotated[
        int | None, typer.Option("--threads", min=1, help="Threads of a run (default: one per physical core).")
    ] = None,
    header: Annotated[
        bool, typer.Option("--header", help="Write flextune_model.h, the library's C interface, beside it.")
    ] = False,
    without: Without = None,
    precision: PrecisionName = "float32",
    shape: Shapes = None,
    dim: Dims = None,
    value: Values = None,
    only_own: OnlyOwn = False,
    provider: Providers = None,
    db: DatabasePath = None,
    as_json: Json = False,
) -> None:
    """Build a model with its best recorded schedules and write it as a library for `flextune.load` and C programs.

    What is written is what tuning the model found to be faster; where records come from elsewhere, it is timed against
    the build with default schedules, if this is the machine.
    """
    from flextune.apply.saved_library import save_executable
    from flextune.cli.accuracy import accuracy_json, accuracy_lines, accuracy_of_build
    from flextune.cli.inputs import check_output, database_path, read_dims, read_shapes, read_target, read_values
    from flextune.cli.models import read_split
    from flextune.cli.recorded_target import recorded_target
    from flextune.cli.working import working
    from flextune.database.store import open_database
    from flextune.lowering.precision.precision import Precision
    from flextune.native.toolchain import write_header
    from flextune.optimization.hybrid import Lowering, ship_split
    from flextune.target.detect import detect
    from flextune.target.kinds import runs_here

    path = database_path(db)
    check_output(output, model, path)
    if db is not None:
        open_database(path, must_exist=True).close()
    if target is not None and for_target is not None:
        raise UsageError("give --target or --for-target, not both")
    if for_target is None:
        chosen = read_target(target)
    else:
        with open_database(path, must_exist=True) as database:
            chosen = recorded_target(for_target, database, path)
    computed = Precision.parse(precision)
    computed.check(chosen)
    lowering = Lowering(chosen, tuple(without or ()), computed)
    with working(f"importing {model}") as work:
        split = read_split(
            model,
            read_shapes(shape),
            lowering,
            only_own or not runs_here(chosen),  # another runtime would be this machine's
            provider,
            read_values(value),
            read_dims(dim),
            usual_ranges=True,
        )
        work.now(f"building {model}")
        with open_database(path, must_exist=True) if db is not None or path.exists else nullcontext() as database:
            split, shipment = ship_split(split, chosen, database)
    if for_target is not None and not shipment.recorded:
        raise UsageError(f"{path} holds records of {chosen}, but none of this model's; tune {model} on that machine")
    built = shipment.build
    if threads is not None:
        built.executable.set_threads(threads)
    if header and built.executable.signature.parts:
        raise UsageError(f"ONNX Runtime runs parts of {model}: C programs cannot open it, so it needs no --header")
    saved = save_executable(built.executable, output)
    headers = [str(write_header(saved.parent))] if header else []
    is_compared = not computed.is_float32 and chosen.key == detect().key
    with working("comparing with float32"):
        found = accuracy_of_build(split.whole, built, chosen) if is_compared and split.whole is not None else None
    signature = built.executable.signature
    origins = Counter(str(task.origin) for task in built.tasks)
    if as_json:
        tasks: list[JsonValue] = [
            {"name": task.name, "count": task.count, "origin": str(task.origin), "reason": task.reason}
            for task in built.tasks
        ]
        memory: dict[str, JsonValue] = {
            "weight_bytes": signature.weight_bytes,
            "activation_bytes": signature.activation_bytes,
            "dims": [str(each) for each in signature.dims],
        }
        runtime: dict[str, JsonValue] = {
            "runtime": str(signature.runtime),
            "notes": [*split.model.notes, *built.executable.notes],
        }
        runtime["parts"] = [*signature.parts]
        written: dict[str, JsonValue] = {"output": str(saved), "headers": [*headers], "target": signature.target}
        accuracy: dict[str, JsonValue] = {"accuracy": accuracy_json(found)} if found is not None else {}
        print_json({"model": str(model), **written, "db": path, **memory, **runtime, "tasks": tasks, **accuracy})
        return
    for task in built.tasks:
        if task.reason:
            print(f"  {task.name}: {task.origin} schedule, because {task.reason}")
    parts = ", ".join(f"{count} {origin}" for origin, count in origins.items())
    print(f"{saved}: {len(built.tasks)} distinct groups ({parts}), {signature.threads} threads")
    if signature.activation_bytes is not None:
        weights, activations = size(signature.weight_bytes), size(signature.activation_bytes)
        print(f"memory: {weights} of weights, at most {activations} of activations at a time")
    elif signature.dims:
        ranges = ", ".join(map(str, signature.dims))
        print(f"memory: {size(signature.weight_bytes)} of weights; activations as the sizes of a run need")
        print(f"sizes: {ranges}")
    elif not signature.parts:
        print("memory: not planned")
    for number, part in enumerate(signature.parts):
        print(f"part {number}: {part}")
    for note in (*split.model.notes, *built.executable.notes):
        print(f"note: {note}")
    if found is not None:
        print("\n".join(("accuracy", *accuracy_lines(found))))
    for written_header in headers:
        print(written_header)
