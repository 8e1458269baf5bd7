"""Schedules that are worth measuring for a program with symbolic sizes: those that are promising at some of them."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from flextune.csp import Assignment, In
from flextune.errors import FlextuneError
from flextune.platforms.symbolic_kernels import by_variant, scheduled_by_default, shared_finely, space_at, trace_sizes
from flextune.schedule.packing import PackedInput
from flextune.schedule.space import SearchSpace
from flextune.target.target import Target
from flextune.trial.variant import Variant
from flextune.tvm_types import PrimFunc

Packs = tuple[PackedInput, ...]
"""How constants are stored: the same for all variants of a group."""

_ANCHORS = 4
_FORMS = 2
_PER_FORM = 3
_LEAST_PROMISE = 0.5
"""Of the most promising schedule at the same sizes; estimates are rough, measurements decide."""

_DENSE = 8
"""Beyond it, only even sizes are looked at."""


@dataclass(frozen=True, slots=True)
class Proposed:
    """A schedule that can be applied, and the form in which it takes constants."""

    variant: Variant
    packs: Packs


def proposals(
    function: PrimFunc,
    constants: tuple[int, ...],
    points: Sequence[Mapping[str, int]],
    target: Target,
    ends: float = math.inf,
) -> list[Proposed]:
    """The default first, then what is promising at some of the points, which are in ascending order.

    The forms of constants are those that are promising at the largest sizes: a group has one. No schedule but the
    default is looked for after `ends`, a moment of `time.perf_counter`. ScheduleError where no schedule can be applied
    at all sizes.
    """
    middle = points[len(points) // 2]
    variant, program = scheduled_by_default(function, middle, constants, target)
    found = {variant: Proposed(variant, program.packs)}
    for each in _promising(function, constants, points, target):
        if time.perf_counter() > ends:
            break
        if each not in found and (packs := _packs(function, constants, each, target)) is not None:
            found[each] = Proposed(each, packs)
    return list(found.values())


def _promising(
    function: PrimFunc, constants: tuple[int, ...], points: Sequence[Mapping[str, int]], target: Target
) -> Iterator[Variant]:
    """What is promising at some of the points, the largest one first; made as it is asked for."""
    forms: list[Constraints] = []
    for sizes in reversed(_spread(points, _ANCHORS)):
        made_at, space = _space(function, constants, sizes, target)
        forms = forms or _forms(space)
        for assignment in _assignments(space, forms or [()]):
            yield Variant(made_at, space.trace, tuple(shared_finely(space, assignment, target).items()))


def static_schedules(
    function: PrimFunc, constants: tuple[int, ...], sizes: Mapping[str, int], target: Target
) -> list[Variant]:
    """Schedules for these sizes alone, the default first."""
    space = space_at(function, sizes, constants, target)
    chosen = dict.fromkeys((space.default, *_assignments(space, _forms(space) or [()])))
    return [Variant((), space.trace, tuple(each.items())) for each in chosen]


Constraints = tuple[In, ...]
"""Choices that are made."""


def _space(
    function: PrimFunc, constants: tuple[int, ...], sizes: Mapping[str, int], target: Target
) -> tuple[tuple[tuple[str, int], ...], SearchSpace]:
    made_at = next(trace_sizes(function, sizes, target.vector_lanes(32)))
    return tuple(made_at.items()), space_at(function, made_at, constants, target)


def _forms(space: SearchSpace) -> list[Constraints]:
    """The most promising widths of packed panels, of those that need no more padding than the first one."""
    ranked = _ranked(space, "panel", ())
    lengths = [_packed_length(space, each) for each in ranked]
    return [each for each, length in zip(ranked, lengths, strict=True) if length <= lengths[0]][:_FORMS]


def _packed_length(space: SearchSpace, form: Constraints) -> int:
    """How long the axis that vectors run along is in panels of this width."""
    found, (panel,) = space.most_promising(*form), form
    tiles = [role.name for role in space.roles if role.purpose == "tiles"]
    return found[tiles[-1]] * found[str(panel.variable)] if found is not None and tiles else 0


def _assignments(space: SearchSpace, forms: Sequence[Constraints]) -> Iterator[Assignment]:
    """The most promising members with each of these forms and each of a few heights of the tile."""
    for form in forms if space.tunable else ():
        known = {variable.name for variable in space.problem.variables}
        form = form if all(each.variable in known for each in form) else ()
        heights = _ranked(space, "tile", form) or _ranked(space, "rows_per_task", form) or [form]
        found = (space.most_promising(*height) for height in heights[:_PER_FORM])
        yield from (each for each in found if each is not None)


def _ranked(space: SearchSpace, purpose: str, given: Constraints) -> list[Constraints]:
    """The values of a variable for this purpose, the most promising first, as constraints with those `given`."""
    roles = [role for role in space.roles if role.purpose == purpose]
    if not roles:
        return []
    name = [role.name for role in roles if role.prefix == roles[0].prefix][-1]  # the innermost axis of the main block
    members = space.solutions.restrict(given)
    values = members.marginal(name) if members.count else ()
    scored: list[tuple[float, int, Constraints]] = []
    for value in values:
        constraints = (*given, In(name, (value,)))
        if (value <= _DENSE or value % 2 == 0) and (found := space.most_promising(*constraints)) is not None:
            scored.append((-space.promise(found), value, constraints))
    scored.sort(key=lambda each: each[:2])
    return [constraints for promise, _, constraints in scored if promise <= _LEAST_PROMISE * scored[0][0]]


def _packs(function: PrimFunc, constants: tuple[int, ...], variant: Variant, target: Target) -> Packs | None:
    """None where the schedule cannot be applied at all sizes."""
    try:
        return by_variant(function, variant, constants, target).packs
    except FlextuneError:
        return None


def _spread(points: Sequence[Mapping[str, int]], count: int) -> list[Mapping[str, int]]:
    if len(points) <= count:
        return list(points)
    return [points[round(place * (len(points) - 1) / (count - 1))] for place in range(count)]
