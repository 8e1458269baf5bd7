"""Features that mean the same in every task, so that what was learned of some shapes and operators holds for others.

Variables go by their role, not their name: `tile_i` of a matrix product and `tile_ow` of a convolution are both the
tile of the innermost row axis. Sizes are logarithms, and parts of the whole. Of the main computation's loops and
operands (the analysis) follow the operations, the bytes and the waste of one tile at each level. A feature that a task
does not have is missing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from flextune.cost.features import Columns, Feature, Numbers, logarithm
from flextune.cost.task_description import Axis, Operand, TaskDescription

_LEVELS = 2
"""Tiles that are looked at: in registers, and in the cache."""


def shared_features(names: Sequence[str], task: TaskDescription) -> tuple[Feature, ...]:
    """The features of a task with these variables. Which there are depends on the task, what one means does not."""
    known = _Known(tuple(names), task)
    return (*_roles(known), *_task(known), *_computed(known))


def computed_features(names: Sequence[str], task: TaskDescription) -> tuple[Feature, ...]:
    """Those of the shared features that the analysis adds to the values of the variables."""
    return tuple(_computed(_Known(tuple(names), task)))


@dataclass(frozen=True, slots=True)
class _Known:
    names: tuple[str, ...]
    task: TaskDescription

    @property
    def order(self) -> tuple[Axis, ...]:
        """The spatial axes longer than 1, by their place in the tile: the vectorised one, then the rows from inside."""
        spatial = [axis for axis in reversed(self.task.axes) if not axis.reduced and axis.extent > 1]
        return tuple(sorted(spatial, key=lambda axis: (axis.name != self.task.vector, not any(axis.levels[:1]))))

    def tiled(self, axis: Axis, level: int) -> tuple[str, ...]:
        """The variables whose product is the tile's reach along the axis; none where it has all of it."""
        return tuple(name for names in axis.levels[: level + 1] for name in names if name in self.names)

    def reach(self, axis: Axis, level: int) -> Callable[[Columns], Numbers]:
        if not axis.levels:
            return _always(axis.extent)
        variables = self.tiled(axis, level)
        return lambda columns: np.minimum(_product(columns, variables), axis.extent)


_POSITIONS = ("vector", "row", "second row")


def _position(index: int) -> str:
    return _POSITIONS[index] if index < len(_POSITIONS) else "outer"


def _roles(known: _Known) -> Iterator[Feature]:
    """Each variable by its role; those of one role along several axes by the axis' position, and their product."""
    places = {axis.name: _position(index) for index, axis in enumerate(known.order)}
    groups: dict[str, list[str]] = {}
    products: dict[str, list[str]] = {}
    for name in known.names:
        role = known.task.role(name)
        place = f" of {places.get(role.axis, 'other')}" if role.axis else ""
        groups.setdefault(f"{role.purpose}{place}", []).append(name)
        if role.axis:
            products.setdefault(f"{role.purpose} of all", []).append(name)
    for name, variables in (*groups.items(), *products.items()):
        yield _logarithm_of(name, tuple(variables))


def _task(known: _Known) -> Iterator[Feature]:
    """Sizes of the whole: they separate the tasks."""
    yield from (_constant(name, _log2(value)) for name, value in known.task.numbers)
    for index, axis in enumerate(known.order[: len(_POSITIONS)]):
        yield _constant(f"extent of {_position(index)}", _log2(axis.extent))
    if known.task.axes:
        yield _constant("spatial extent", _log2(math.prod(a.extent for a in known.task.axes if not a.reduced)))
        yield _constant("reduced extent", _log2(_reduction(known.task)))
    for role, operand in _operand_roles(known.task):
        yield _constant(f"bytes of {role}", _log2(_whole_bytes(known.task, operand)))


def _computed(known: _Known) -> Iterator[Feature]:
    for level in range(_LEVELS):
        yield from _tiles(known, level)
    yield from _work(known)


def _tiles(known: _Known, level: int) -> Iterator[Feature]:
    """One tile of this level: how far it reaches, what is padding, the bytes of each operand, operations per byte."""
    order, task, name = known.order, known.task, ("tile", "block")[level]
    for index, axis in enumerate(order[: len(_POSITIONS)]):
        variables = known.tiled(axis, level)
        if variables:
            reach = known.reach(axis, level)
            yield Feature(f"part of {_position(index)} in {name}", variables, _part(reach, axis.extent))
            if level == 0:
                yield Feature(f"padding of {_position(index)}", variables, _padding(reach, axis.extent))
    reaches = {axis.name: known.reach(axis, level) for axis in task.axes}
    variables = tuple(dict.fromkeys(v for axis in task.axes for v in known.tiled(axis, level)))
    if not variables or not task.operands:
        return
    sizes = [(role, _bytes_of(operand, reaches)) for role, operand in _operand_roles(task)]
    for role, size in sizes:
        yield Feature(f"bytes of {role} in {name}", variables, _log_of(size))
    total = _sum_of([size for _, size in sizes])
    yield Feature(f"bytes in {name}", variables, _log_of(total))
    for cache in ("l1 bytes", "l2 bytes"):
        if task.by_name.get(cache):
            yield Feature(f"part of {cache} in {name}", variables, _part(total, task.by_name[cache]))
    spatial = _product_of([reaches[axis.name] for axis in task.axes if not axis.reduced])
    yield Feature(f"operations per byte in {name}", variables, _ratio(spatial, total, _reduction(task)))


def _work(known: _Known) -> Iterator[Feature]:
    """How evenly the tasks of the outermost level are shared among the cores."""
    cores = known.task.by_name.get("cores", 0)
    if "tasks" in known.names and cores > 0:
        yield Feature("idle cores", ("tasks",), lambda columns: _padding_of(columns["tasks"], cores))


def _operand_roles(task: TaskDescription) -> Iterator[tuple[str, Operand]]:
    """The operands of the first of each role: what is written, read along the vector, read by all of it alike."""
    found: dict[str, Operand] = {}
    for operand in task.operands:
        read = "vectors" if task.vector in operand.axes else "scalars"
        found.setdefault("result" if operand.written else read, operand)
    yield from sorted(found.items())


def _bytes_of(operand: Operand, reaches: Mapping[str, Callable[[Columns], Numbers]]) -> Callable[[Columns], Numbers]:
    """Bytes of what a tile touches of the operand: per dimension, the span of its index over the tile."""

    def size(columns: Columns) -> Numbers:
        total = np.asarray(float(operand.item_bytes))
        for dimension in operand.dimensions:
            span = sum(abs(by) * (reaches[axis](columns) - 1) for axis, by in dimension if axis in reaches)
            total = total * (1 + span)
        return np.asarray(total)

    return size


def _whole_bytes(task: TaskDescription, operand: Operand) -> float:
    reaches = {axis.name: _always(axis.extent) for axis in task.axes}
    return float(_bytes_of(operand, reaches)({}))


def _reduction(task: TaskDescription) -> float:
    return float(math.prod(axis.extent for axis in task.axes if axis.reduced))


def _log2(value: float) -> float:
    return math.log2(value) if value > 0 else 0.0


def _constant(name: str, value: float) -> Feature:
    return Feature(name, (), _always(value))


def _always(value: float) -> Callable[[Columns], Numbers]:
    return lambda _columns: np.asarray(float(value))


def _product(columns: Columns, variables: Sequence[str]) -> Numbers:
    return np.asarray(math.prod((columns[name] for name in variables), start=np.float64(1)))


def _logarithm_of(name: str, variables: tuple[str, ...]) -> Feature:
    return Feature(name, variables, lambda columns: logarithm(_product(columns, variables)))


def _log_of(size: Callable[[Columns], Numbers]) -> Callable[[Columns], Numbers]:
    return lambda columns: np.log2(np.maximum(size(columns), 1))


def _part(size: Callable[[Columns], Numbers], whole: float) -> Callable[[Columns], Numbers]:
    return lambda columns: np.log2(np.maximum(size(columns), 1) / whole)


def _padding(reach: Callable[[Columns], Numbers], extent: float) -> Callable[[Columns], Numbers]:
    return lambda columns: np.ceil(extent / np.maximum(reach(columns), 1)) * np.maximum(reach(columns), 1) / extent


def _padding_of(count: Numbers, size: float) -> Numbers:
    """How much more than `count` whole groups of `size` hold, as a ratio."""
    return np.asarray(np.ceil(count / size) * size / np.maximum(count, 1))


def _sum_of(parts: Sequence[Callable[[Columns], Numbers]]) -> Callable[[Columns], Numbers]:
    return lambda columns: np.asarray(sum(part(columns) for part in parts))


def _product_of(parts: Sequence[Callable[[Columns], Numbers]]) -> Callable[[Columns], Numbers]:
    return lambda columns: np.asarray(math.prod((part(columns) for part in parts), start=np.float64(1)))


def _ratio(
    points: Callable[[Columns], Numbers], size: Callable[[Columns], Numbers], depth: float
) -> Callable[[Columns], Numbers]:
    return lambda columns: np.log2(np.maximum(2 * depth * points(columns), 1) / np.maximum(size(columns), 1))
