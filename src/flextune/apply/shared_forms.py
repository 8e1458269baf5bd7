"""Default schedules that pack a constant alike where several kernels read it: each form of it is stored.

A convolution on images of several sizes, or one matrix for several numbers of rows, would else be stored once for each,
because the widths of their register tiles differ.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from flextune.csp import Assignment, In
from flextune.errors import FlextuneError
from flextune.lowering.calls import CallSite, is_constant
from flextune.platforms import platform_registry as platforms
from flextune.schedule.apply import ScheduledProgram, apply_trace
from flextune.schedule.packing import PackedInput
from flextune.schedule.space import SearchSpace
from flextune.target.target import Target
from flextune.workload.workload import Workload

LEAST_BYTES = 1 << 14
"""Smaller constants may be stored in several forms."""
LEAST_PROMISE = 0.8
"""A schedule that packs as others do is taken if it is estimated to be at least so fast relative to the default one."""


@dataclass(frozen=True, slots=True)
class Use:
    """A task, by its place among all, that reads a constant as its input of this position."""

    task: int
    index: int


def shared_constants(sites: Sequence[CallSite], task_of: Mapping[str, int]) -> Iterator[tuple[Use, ...]]:
    """The uses of every large constant that several tasks read; `task_of` has the tasks of functions."""
    uses: dict[int, dict[Use, None]] = defaultdict(dict)
    for site in sites:
        for index, argument in enumerate(site.arguments):
            if site.function in task_of and is_constant(argument) and argument.value.numpy().nbytes >= LEAST_BYTES:
                uses[int(argument.value.data_ptr())][Use(task_of[site.function], index)] = None
    return (tuple(found) for found in uses.values() if len({use.task for use in found}) > 1)


def form_of(packs: Sequence[PackedInput], index: int) -> PackedInput | None:
    """How a schedule packs an input, whichever it is; None where it does not."""
    return next((replace(pack, index=0) for pack in packs if pack.index == index), None)


def program_packing(workload: Workload, target: Target, index: int, form: PackedInput) -> ScheduledProgram | None:
    """The workload by its most promising schedule that packs an input in this form; None where there is no good one."""
    space = platforms.get(target.kind).search_space(workload, target)
    assignment = _assignment(space, max(form.tiles))
    if assignment is None or space.promise(assignment) < LEAST_PROMISE * space.promise(space.default):
        return None
    try:
        program = apply_trace(workload, space.trace, assignment, target)
    except FlextuneError:
        return None
    return program if form_of(program.packs, index) == form else None


def _assignment(space: SearchSpace, width: int) -> Assignment | None:
    """The most promising member whose packed panels are so wide."""
    names = {variable.name for variable in space.problem.variables}
    if "panel" not in names:
        return None
    packed = (In("pack", (1,)),) if "pack" in names else ()
    return space.most_promising(In("panel", (width,)), *packed)
