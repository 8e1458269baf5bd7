"""What a cost model is told about a task: its space and the analysis of its program, in neutral terms.

And whether what was learned of other tasks may be used for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from flextune.analysis.blocks import read_program
from flextune.analysis.footprint import dtype_bits
from flextune.analysis.program_facts import Access, BlockFacts
from flextune.cost.task_description import Axis, Operand, Role, TaskDescription
from flextune.csp.constraint import Select
from flextune.csp.problem import Problem
from flextune.errors import UsageError
from flextune.schedule.space import SearchSpace, VariableRole
from flextune.target import kinds
from flextune.target.target import Target
from flextune.workload.workload import Workload

if TYPE_CHECKING:
    from flextune.cost.pretrained import PretrainedModel

Names = Mapping[tuple[str, str], str]
"""The variables of the main computation by purpose and axis."""


def describe_task(space: SearchSpace) -> TaskDescription:
    """The task of a space. Of a program that cannot be read, only what the workload itself says."""
    workload = space.workload
    program = read_program(workload.prim_func())
    if program is None or not program.blocks:
        return TaskDescription(_operator(workload), numbers=_numbers(workload, space.target))
    names = {(role.purpose, role.axis): role.name for role in space.roles if not role.prefix}
    block = max(program.blocks, key=lambda each: (_tiled_axes(each, names), each.trips))
    axes = tuple(_axes(block, space.problem, names))
    return TaskDescription(
        operator=_operator(workload),
        axes=axes,
        vector=_vector(axes, names.get(("panel", ""), "")),
        operands=tuple(_operands(block)),
        numbers=_numbers(workload, space.target),
        roles=tuple(_role(role, axes) for role in space.roles),
    )


def _role(role: VariableRole, axes: tuple[Axis, ...]) -> Role:
    """A variable's role in the space in words that mean the same in all tasks."""
    if role.prefix:
        return Role(role.name, f"other {role.purpose}")
    along = role.axis if any(axis.name == role.axis for axis in axes) else ""
    return Role(role.name, role.purpose, along)


def _operator(workload: Workload) -> str:
    """The operator's name; of a part of a model the name of the part."""
    return workload.operator if workload.operator != "tir" else f"tir {workload.param('name')}"


def _numbers(workload: Workload, target: Target) -> tuple[tuple[str, float], ...]:
    caches = kinds.get(target.kind).caches(target)
    data = sum(spec.bytes for spec in (*workload.inputs, *workload.outputs))
    return (
        ("operations", float(workload.flops)),
        ("data bytes", float(data)),
        ("operations per byte", workload.flops / data if data else 0.0),
        ("cores", float(target.cores)),
        *((f"{cache.name} bytes", float(cache.size_bytes)) for cache in caches if cache.per_core),
    )


def _tiled_axes(block: BlockFacts, names: Names) -> int:
    return sum(("cache", iterator.name) in names for iterator in block.iterators)


def _axes(block: BlockFacts, problem: Problem, names: Names) -> Iterator[Axis]:
    """The block's loops. How large a tile is along an axis is what the axis' number of tiles is looked up by."""
    definitions = problem.definitions
    for iterator in block.iterators:
        count = definitions.get(names.get(("tiles", iterator.name), ""))
        tile = (str(count.index),) if isinstance(count, Select) else ()
        cache, grid = (_named(names, purpose, iterator.name) for purpose in ("cache", "grid"))
        levels = (tile, cache, grid) if tile or cache else ()
        yield Axis(iterator.name, iterator.extent, iterator in block.reduce, levels)


def _named(names: Names, purpose: str, axis: str) -> tuple[str, ...]:
    return (names[purpose, axis],) if (purpose, axis) in names else ()


def _vector(axes: tuple[Axis, ...], panel: str) -> str:
    """The axis whose tile is a number of whole vectors, its `panel`; empty where there is none."""
    return next((axis.name for axis in axes if axis.levels and panel in axis.levels[0]), "")


def _operands(block: BlockFacts) -> Iterator[Operand]:
    for accesses, written in ((block.writes, True), (block.operands, False)):
        for access in accesses:
            item_bytes = max(1, dtype_bits(access.buffer.dtype) // 8)
            yield Operand(access.buffer.name, item_bytes, written, tuple(_dimensions(access)))


def _dimensions(access: Access) -> Iterator[tuple[tuple[str, int], ...]]:
    """The index of each dimension; where it is not linear, every iterator in it counts once."""
    for terms, uses in zip(access.terms, access.uses, strict=True):
        if terms is None:
            yield tuple((name, 1) for name in sorted(uses))
        else:
            yield tuple((term.iterator, term.coefficient) for term in terms if term.divisor == 1)


def check_target(model: PretrainedModel | None, target: Target, runner: str | None = None) -> None:
    """Raises `UsageError` for a model of another target or of another unit than the runner's."""
    if model is None:
        return
    if kinds.scale_of(target, runner) != kinds.scale_of(target):
        raise UsageError(
            f"pretrained models of {target.kind} are made from {kinds.scale_of(target)}, and {runner} gives "
            f"{kinds.scale_of(target, runner)}: leave --pretrained out"
        )
    if model.training.target != target.key:
        raise UsageError(
            f"the pretrained model is of the target {model.training.target}, this run is for {target.key}; "
            "take a model that `flextune pretrain` made from records of this target"
        )
