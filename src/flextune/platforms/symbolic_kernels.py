"""Schedules for kernels with symbolic sizes: made for one size of each symbol, right for all of them.

A trace made at numbers is applied to the program with symbols, where TVM's primitives and our rewriting steps guard and
pad whatever need not be whole. What a trace is like depends on the numbers, so they are chosen for what they do *not*
suggest: along the innermost axes of tensors, which vectors run along, one that no vector divides.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping

import tvm_ffi
from tvm import tirx

from flextune.analysis.symbols import bound, symbols_of, with_sizes
from flextune.csp import Assignment, In
from flextune.errors import ScheduleError
from flextune.platforms import platform_registry as platforms
from flextune.schedule.apply import ScheduledProgram, apply_steps
from flextune.schedule.space import SearchSpace
from flextune.schedule.trace import Trace
from flextune.target.target import Target
from flextune.trial.variant import Variant
from flextune.tvm_types import Expression, PrimFunc
from flextune.workload.tir import from_prim_func

_WHOLE = (96, 48, 24, 8)
"""Sizes that many tiles divide: along outer axes nothing is lost by it, and rows can be shared out evenly."""

_TASKS_PER_CORE = 16
_ABOUT_AS_MUCH = 0.97
"""Of what a schedule with fewer tasks promises at the sizes that it is made at."""
_FORM = ("tile", "vectors", "panel")
"""What variables are for that say what a task computes at a time, and how constants are stored."""

_NEAR = 12
"""Neighbours of a default that are tried where it cannot be applied."""


def applied(
    function: PrimFunc,
    sizes: Mapping[str, int],
    trace: Trace,
    assignment: Mapping[str, int],
    constants: tuple[int, ...],
    target: Target,
) -> ScheduledProgram:
    """The function with symbolic sizes by a trace that was made of it at representative ones.

    ScheduleError where the trace takes something for granted that holds at those alone.
    """
    return apply_steps(with_sizes(function, sizes), trace, assignment, constants, target)


def by_variant(function: PrimFunc, variant: Variant, constants: tuple[int, ...], target: Target) -> ScheduledProgram:
    """The function by this schedule, right at all sizes. ScheduleError where it cannot be applied."""
    return applied(function, dict(variant.made_at), variant.trace, dict(variant.assignment), constants, target)


def scheduled_by_default(
    function: PrimFunc, sizes: Mapping[str, int], constants: tuple[int, ...], target: Target
) -> tuple[Variant, ScheduledProgram]:
    """The first default schedule that can be applied at all sizes, and the function by it.

    Where none can, one of the most promising schedules near a default is taken: TVM's primitives accept some tiles of
    symbolic extents and refuse others. ScheduleError where none of these can be applied either.
    """
    reasons: list[str] = []
    spaces: list[tuple[dict[str, int], SearchSpace]] = []
    for made_at in trace_sizes(function, sizes, target.vector_lanes(32)):
        space = space_at(function, made_at, constants, target)
        if not space.tunable and not space.trace.steps:
            reasons.append("no rule knows the program")
            continue
        spaces.append((made_at, space))
        default = shared_finely(space, space.default, target)
        variant = Variant(tuple(made_at.items()), space.trace, tuple(default.items()))
        try:
            return variant, by_variant(function, variant, constants, target)
        except ScheduleError as error:
            reasons.append(str(error))
    for made_at, space in spaces:
        for assignment in _near_default(space):
            variant = Variant(tuple(made_at.items()), space.trace, tuple(assignment.items()))
            with contextlib.suppress(ScheduleError):
                return variant, by_variant(function, variant, constants, target)
    raise ScheduleError("; ".join(dict.fromkeys(reasons)))


def shared_finely(space: SearchSpace, assignment: Assignment, target: Target) -> Assignment:
    """The same tiles in many tasks, if that promises about as much: of tasks that are as long as suits the sizes of
    the trace, other sizes have too few for all cores, or a last one that is short."""
    tasks = next((role.name for role in space.roles if role.purpose == "tasks"), None)
    if tasks is None or not space.tunable:
        return assignment
    names = [role.name for role in space.roles if role.purpose in _FORM]
    form = [In(name, (assignment[name],)) for name in names if name in assignment]
    counts = space.solutions.restrict(form).marginal(tasks)
    more = [count for count in counts if assignment[tasks] < count <= _TASKS_PER_CORE * target.cores]
    found = space.most_promising(*form, In(tasks, (max(more),))) if more else None
    is_as_good = found is not None and space.promise(found) >= _ABOUT_AS_MUCH * space.promise(assignment)
    return found if found is not None and is_as_good else assignment


def _near_default(space: SearchSpace) -> list[Assignment]:
    """The most promising of the default's neighbours."""
    if not space.tunable:
        return []
    neighbours = list(space.solutions.neighbours(space.default))
    return sorted(neighbours, key=space.promise, reverse=True)[:_NEAR]


def space_at(function: PrimFunc, sizes: Mapping[str, int], constants: tuple[int, ...], target: Target) -> SearchSpace:
    """The schedules of the function at these sizes."""
    workload = from_prim_func(bound(function, sizes), "symbolic", constants)
    return platforms.get(target.kind).search_space(workload, target)


def trace_sizes(function: PrimFunc, sizes: Mapping[str, int], lanes: int) -> Iterator[dict[str, int]]:
    """Sizes to make a trace at, the most promising first."""
    contiguous = _innermost_symbols(function)
    uneven = {name: ragged(size, lanes) for name, size in sizes.items()}
    mixed = {name: uneven[name] if name in contiguous else _whole(size) for name, size in sizes.items()}
    yield mixed
    if mixed != uneven:
        yield uneven


def _whole(size: int) -> int:
    multiple = next((each for each in _WHOLE if each <= size), size)
    return size // multiple * multiple


def ragged(size: int, lanes: int) -> int:
    """A prime from the size on that holds an odd number of whole vectors: no wider one divides what these are."""
    found = max(size, lanes + 1)
    while (found // lanes) % 2 == 0 or any(found % divisor == 0 for divisor in range(2, int(found**0.5) + 1)):
        found += 1
    return found


def _innermost_symbols(function: PrimFunc) -> frozenset[str]:
    """The symbols in the last dimension of a tensor, parameters and those inside."""
    known = symbols_of(function)
    found: list[Expression] = []
    for buffer in (*function.params, *function.body.block.alloc_buffers):
        if len(buffer.ty.shape):
            tvm_ffi.structural_walk(buffer.ty.shape[-1], (tirx.Var, found.append))
    return frozenset(str(each.name) for each in known if any(each.same_as(other) for other in found))
