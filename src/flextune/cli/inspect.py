"""`flextune inspect`: what a model is made of, what will be tuned, and a picture of its fused graph."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flextune.cli.arguments import DatabasePath, Dims, Json, OnlyOwn, PrecisionName, Shapes, TargetText, Values, Without
from flextune.cli.output import JsonValue, print_json, table
from flextune.errors import ModelError
from flextune.target.sizes import size

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from flextune.apply.hybrid_build import SplitModel
    from flextune.cli.inspect_shapes import TrackedModel
    from flextune.plan.partition import Partition
    from flextune.report.view import GraphView, GroupView
    from flextune.target.target import Target
    from flextune.workload.dim import Dim

_SPACES_SECS = 3.0
"""Spaces are counted, those of the largest groups first, until this much time is spent on it."""


def inspect(
    model: Annotated[Path, typer.Argument(help="An ONNX file.")],
    svg: Annotated[Path | None, typer.Option("--svg", help="Write a picture of the fused graph to this file.")] = None,
    dump: Annotated[
        Path | None,
        typer.Option("--dump", help="Write what every pass leaves, down to the kernels, into this folder."),
    ] = None,
    spaces: Annotated[bool, typer.Option(help="Count the schedules of each group, as far as that is quick.")] = True,
    target: TargetText = None,
    without: Without = None,
    precision: PrecisionName = "float32",
    shape: Shapes = None,
    dim: Dims = None,
    value: Values = None,
    only_own: OnlyOwn = False,
    db: DatabasePath = None,
    as_json: Json = False,
) -> None:
    """Print a model's operators, its fused groups with FLOPs, bytes and layouts, and what is tuned.

    With --db, as the records decided on its layouts and groups. Of a model of which ONNX Runtime runs parts, the parts
    and why, then the same of each part that is compiled; --svg and --dump write those into NAME-part0.svg and so on.
    With --dim and a range (seq=1..512), the shape of each tensor as expressions over the sizes, too.
    """
    from flextune.cli.inputs import check_output, database_path, read_dims, read_shapes, read_target, read_values
    from flextune.cli.models import read_split
    from flextune.cli.working import working
    from flextune.lowering.precision.precision import Precision
    from flextune.optimization.hybrid import Lowering

    db = None if db is None else database_path(db)
    if svg is not None:
        check_output(svg, model, *([db] if db else []))
    chosen = read_target(target)
    lowering = Lowering(chosen, tuple(without or ()), Precision.parse(precision))
    shapes, dims, values = read_shapes(shape), read_dims(dim), read_values(value)
    tracked = _tracked(model, shapes, dims, values)
    try:
        with working(f"importing {model}"):
            split = read_split(
                model, shapes, lowering, only_own, values=values, dims=dims if tracked is None else tracked.dims
            )
    except ModelError as error:
        if tracked is None:
            raise
        print_json({"model": str(model), **tracked.facts(), "refused": str(error)}) if as_json else print(
            f"{tracked.report()}\n\n{error}"
        )
        return
    split, runtime = _as_recorded(split, chosen, db)
    shapes_facts = {} if tracked is None else tracked.facts()
    shapes_report = "" if tracked is None else f"{tracked.report()}\n\n"
    if split.whole is not None:
        found = _Inspection.of(str(model), split.whole, chosen, db, spaces, svg, dump)
        print_json({**shapes_facts, **found.facts(), "runtime": runtime.strip() or None}) if as_json else print(
            shapes_report + found.report() + runtime
        )
        return
    parts = [
        _Inspection.of(part.model.name, part, chosen, db, spaces, _of_part(svg, part), _of_part(dump, part))
        for part in split.parts.own
    ]
    if as_json:
        own: list[JsonValue] = [part.facts() for part in parts]
        about: dict[str, JsonValue] = {"model": str(model), "parts": [*split.described()], "own_parts": own}
        print_json({**shapes_facts, **about, "runtime": runtime.strip() or None})
    else:
        reports = [_parts_report(str(model), split) + runtime, *(part.report() for part in parts)]
        print(shapes_report + "\n\n".join(reports))


def _tracked(
    model: Path,
    shapes: Mapping[str, tuple[int, ...]],
    dims: Sequence[Dim],
    values: Mapping[str, float | list[float]],
) -> TrackedModel | None:
    """What is known of every tensor, where sizes have ranges."""
    from flextune.cli.inspect_shapes import TrackedModel

    return TrackedModel.read(model, shapes, dims, values) if any(each.fixed is None for each in dims) else None


def _as_recorded(split: SplitModel, target: Target, db: str | None) -> tuple[SplitModel, str]:
    """The model split as the records say, and what they say of who runs it, as a line."""
    from flextune.cli.models import runtime_line
    from flextune.database.store import open_database
    from flextune.optimization.rival import as_recorded, recorded_runtime

    if db is None:
        return split, ""
    with open_database(db, must_exist=True) as database:
        found = recorded_runtime(split, target, database)
        return as_recorded(split, target, database), "" if found is None else f"\n{runtime_line(found)}"


def _of_part(path: Path | None, part: Partition) -> Path | None:
    """`net.svg` as that of a part: `net-part0.svg`."""
    return None if path is None else path.with_name(f"{path.stem}-{part.model.name.rpartition('_')[2]}{path.suffix}")


def _parts_report(model: str, split: SplitModel) -> str:
    """Who runs what, and why."""
    lines = [
        f"{model}: {len(split.model.proto.graph.node)} nodes in {len(split.parts.parts)} parts",
        *(f"  input      {spec}" for spec in split.model.inputs),
        f"  output     {', '.join(split.model.outputs)}",
        *(f"  part {number}     {text}" for number, text in enumerate(split.described())),
        *(f"  note       {note}" for note in split.model.notes),
    ]
    return "\n".join(lines)


@dataclass(frozen=True, slots=True, eq=False)
class _Inspection:
    """All that there is to say about a model that is wholly ours, or a part that is."""

    model: str
    """What was inspected, as the user names it."""
    svg: Path | None
    """Where the picture is, where one was asked for."""
    partition: Partition
    """The lowered model."""
    view: GraphView
    """Its groups, and the graph of their calls."""
    contents: _Contents
    """What the file holds."""
    sizes: dict[str, int]
    """The number of schedules of each group, as far as they were counted."""

    @classmethod
    def of(
        cls,
        model: str,
        partition: Partition,
        target: Target,
        db: str | None,
        spaces: bool,
        svg: Path | None,
        dump: Path | None,
    ) -> _Inspection:
        """Look at it; write a picture and the passes' models where asked."""
        from flextune.plan.pass_dump import dump_passes
        from flextune.platforms.estimator import plan_estimator
        from flextune.report.picture import draw
        from flextune.report.view import view_of

        if dump is not None:
            dump_passes(partition.model, dump, partition.without, partition.precision, plan_estimator(target))
        if db is not None:
            partition = _decided(partition, db, target)
        view = view_of(partition)
        sizes = _space_sizes(view, target) if spaces else {}
        contents = _contents(partition)
        if svg is not None:
            svg.write_text(draw(view), encoding="utf-8")
        return cls(model, svg, partition, view, contents, sizes)

    def facts(self) -> dict[str, JsonValue]:
        return _facts(self.model, self.svg, self.partition, self.view, self.contents, self.sizes)

    def report(self) -> str:
        return _report(self.model, self.svg, self.partition, self.view, self.contents, self.sizes)


def _decided(partition: Partition, db: str, target: Target) -> Partition:
    from flextune.database.store import open_database
    from flextune.optimization.recorded import from_records

    with open_database(db, must_exist=True) as database:
        return from_records(partition, database, target)[0]


@dataclass(frozen=True, slots=True)
class _Contents:
    """What the model's file holds: operators as they came and simplified, and its weights."""

    operators: Counter[str]
    simplified: Counter[str]
    parameters: int
    parameter_bytes: int


def _contents(partition: Partition) -> _Contents:
    from flextune.importing.simplify import simplify
    from flextune.lowering.lower import graph_of
    from flextune.report.view import parameter_count

    graph = graph_of(partition.model)
    operators = Counter(node.op_type for node in partition.model.proto.graph.node)
    simplify(graph, partition.without)
    used = graph.use_counts()
    constants = {name: array for name, array in graph.constants.items() if used[name]}
    return _Contents(
        operators,
        Counter(node.op_type for node in graph.nodes),
        parameter_count(constants),
        sum(array.nbytes for array in constants.values()),
    )


def _space_sizes(view: GraphView, target: Target) -> dict[str, int]:
    """The number of schedules of each group, by name; groups for which the time did not suffice are left out."""
    from flextune.platforms import platform_registry

    platform, started = platform_registry.get(target.kind), time.perf_counter()
    sizes: dict[str, int] = {}
    for group in view.groups:
        if time.perf_counter() - started > _SPACES_SECS:
            break
        if group.workload is not None:
            sizes[group.name] = platform.search_space(group.workload, target).solutions.count
    return sizes


def _facts(
    model: str,
    svg: Path | None,
    partition: Partition,
    view: GraphView,
    contents: _Contents,
    sizes: dict[str, int],
) -> dict[str, JsonValue]:
    return {
        "model": model,
        "inputs": [str(spec) for spec in partition.model.inputs],
        "outputs": list(partition.model.outputs),
        "parameters": contents.parameters,
        "parameter_bytes": contents.parameter_bytes,
        "flops": view.flops,
        "bytes": view.bytes,
        "operators": dict(contents.operators.most_common()),
        "simplified_operators": dict(contents.simplified.most_common()),
        "groups": [_group_facts(view, group, sizes) for group in view.groups],
        "fallbacks": [group.name for group in view.groups if group.workload is None],
        "notes": list(partition.model.notes),
        "svg": None if svg is None else str(svg),
    }


def _group_facts(view: GraphView, group: GroupView, sizes: dict[str, int]) -> dict[str, JsonValue]:
    return {
        "name": group.name,
        "operators": group.operators,
        "count": group.count,
        "flops": group.flops,
        "flops_share": view.share(group),
        "bytes": group.bytes,
        "weight_bytes": group.weight_bytes,
        "intensity": group.intensity,
        "outputs": list(group.outputs),
        "layout": group.layout or None,
        "tuned": group.workload is not None,
        "space_size": sizes.get(group.name),
    }


def _report(
    model: str,
    svg: Path | None,
    partition: Partition,
    view: GraphView,
    contents: _Contents,
    sizes: dict[str, int],
) -> str:
    from flextune.report.picture import quantity

    before, after = contents.operators.total(), contents.simplified.total()
    calls = sum(group.count for group in view.groups)
    tuned = sum(group.workload is not None for group in view.groups)
    lines = [
        f"{model}: {before} nodes, {after} simplified, {calls} calls of {len(view.groups)} distinct groups",
        *(f"  input      {spec}" for spec in partition.model.inputs),
        f"  output     {', '.join(partition.model.outputs)}",
        f"  weights    {contents.parameters:,} parameters, {size(contents.parameter_bytes)}",
        f"  one run    {quantity(view.flops, 'FLOP')}, at least {quantity(view.bytes, 'B')} moved between groups",
        f"  tuned      {tuned} groups, {len(view.groups) - tuned} fall back to a generic schedule",
        *(f"  note       {note}" for note in partition.model.notes),
        "",
        _operator_table(contents),
        "",
        _group_table(view, sizes),
    ]
    if fallbacks := [group.name for group in view.groups if group.workload is None]:
        lines += ["", f"generic schedule, because their shapes are not static: {', '.join(fallbacks)}"]
    if svg is not None:
        lines += ["", f"picture    {svg}"]
    return "\n".join(lines)


def _operator_table(contents: _Contents) -> str:
    names = [name for name, _ in (contents.operators | contents.simplified).most_common()]
    rows = [(name, str(contents.operators[name]), str(contents.simplified[name])) for name in names]
    return table(("operator", "nodes", "simplified"), rows)


def _group_table(view: GraphView, sizes: dict[str, int]) -> str:
    from flextune.report.picture import quantity

    rows = [
        (
            group.name,
            str(group.count),
            quantity(group.flops, "FLOP"),
            f"{view.share(group):.1%}",
            quantity(group.bytes, "B"),
            f"{group.intensity:.1f}",
            ", ".join(group.outputs),
            group.layout or "-",
            _space_text(group, sizes),
        )
        for group in view.groups
    ]
    return table(("group", "calls", "FLOPs", "share", "bytes", "FLOP/B", "output", "layout", "schedules"), rows)


def _space_text(group: GroupView, sizes: dict[str, int]) -> str:
    if group.workload is None:
        return "generic"
    count = sizes.get(group.name)
    if count is None:
        return "-"
    return str(count) if count < 10**6 else f"{count:.1e}"
