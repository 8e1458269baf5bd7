"""CINN's parameters of a GPU's schedule as what corresponds to them on a CPU, and the schedule that they say.

* `tree_reduce_num`, the threads that reduce one row together: partial results of a row, in whole vectors; of a product,
  how far its sum is unrolled.
* `warp_num`, the warps of a block, which has so many rows: those of a parallel task, of which there are
  `warp_num * 32 // tree_reduce_num * spatial_inner_num`.
* `spatial_inner_num`, the rows of a thread: the same; of a product, the rows of its register tile.

A variable of the schedule's own space may be given by its name too. Values that a program does not allow are replaced
by the nearest that it does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from flextune.csp import In
from flextune.errors import ScheduleError, UsageError
from flextune.platforms.symbolic_kernels import applied, ragged, space_at, trace_sizes
from flextune.schedule.rewriting_steps import PeelTail
from flextune.schedule.space import SearchSpace
from flextune.schedule.step import Step
from flextune.schedule.trace import Trace
from flextune.target.target import Target
from flextune.trial.variant import Variant
from flextune.tvm_types import PrimFunc

TREE, WARPS, INNER = "tree_reduce_num", "warp_num", "spatial_inner_num"
_THREADS = 32
_MOST_PARTIAL_VECTORS = 8


class Schedules:
    """The schedules of a program with symbolic sizes, by CINN's parameters."""

    def __init__(
        self, function: PrimFunc, sizes: Mapping[str, int], constants: tuple[int, ...], target: Target
    ) -> None:
        """`sizes` are representative ones. ScheduleError where no schedule can be applied at all sizes."""
        self.target, self.lanes = target, target.vector_lanes(32)
        reasons = []
        for made_at in trace_sizes(function, sizes, self.lanes):
            space = space_at(function, made_at, constants, target)
            try:
                applied(function, made_at, space.trace, space.default, constants, target)
            except ScheduleError as error:
                reasons.append(str(error))
                continue
            self.space, self.made_at = space, made_at
            return
        raise ScheduleError("; ".join(reasons))

    @property
    def default(self) -> Variant:
        """The one that is taken without any search."""
        return Variant(tuple(self.made_at.items()), self.space.trace, tuple(self.space.default.items()))

    def check(self, names: Mapping[str, object]) -> None:
        """UsageError for a parameter that means nothing here."""
        own = [variable.name for variable in self.space.problem.variables]
        for name in names:
            if name not in (TREE, WARPS, INNER, *own):
                known = ", ".join((TREE, WARPS, INNER, *own))
                raise UsageError(f"the program has no parameter {name!r}; it has {known}")

    def variant(self, config: Mapping[str, int]) -> Variant | None:
        """The schedule of a configuration; None where the program has none."""
        self.check(config)
        wanted = {**self._of_tiles(config), **{name: value for name, value in config.items() if self._is_own(name)}}
        nearest = {name: _nearest(self.space, name, value) for name, value in wanted.items()}
        fixed = [In(name, (value,)) for name, value in nearest.items() if value is not None]
        chosen = self.space.most_promising(*fixed)
        if chosen is None:
            return None
        assignment, width = dict(chosen), self._width(config)
        if "rows_per_task" in assignment and (WARPS in config or INNER in config):
            assignment["rows_per_task"] = self._rows(config)
        peeled = {step.block for step in self.space.trace.steps if isinstance(step, PeelTail)}
        made_at = self.made_at
        if peeled and TREE in config:
            assignment |= {name: width for name in assignment if _partial_results_of(name) in peeled}
            made_at = {name: ragged(max(size, width + 1), width) for name, size in made_at.items()}
        trace = Trace(tuple(_peeled_by(step, width) if TREE in config else step for step in self.space.trace.steps))
        return Variant(tuple(made_at.items()), trace, tuple(assignment.items()))

    def _width(self, config: Mapping[str, int]) -> int:
        vectors = config.get(TREE, self.lanes) // self.lanes
        return max(1, min(vectors, _MOST_PARTIAL_VECTORS)) * self.lanes

    def _rows(self, config: Mapping[str, int]) -> int:
        threads = config.get(WARPS, 1) * _THREADS
        return max(1, threads // config.get(TREE, _THREADS)) * config.get(INNER, 1)

    def _of_tiles(self, config: Mapping[str, int]) -> dict[str, int]:
        """What the parameters say of the register tiles of products."""
        roles = {role.name: role.purpose for role in self.space.roles}
        found: dict[str, int] = {}
        if INNER in config:
            found |= dict.fromkeys(self._last_rows(roles), config[INNER])
        if TREE in config:
            found |= {name: config[TREE] for name, purpose in roles.items() if purpose == "unroll"}
        return found

    @staticmethod
    def _last_rows(roles: Mapping[str, str]) -> list[str]:
        tiles = [name for name, purpose in roles.items() if purpose == "tile"]
        return tiles[-1:]

    def _is_own(self, name: str) -> bool:
        return any(variable.name == name for variable in self.space.problem.variables)


def _peeled_by(step: Step, width: int) -> Step:
    return replace(step, width=width) if isinstance(step, PeelTail) else step


def _partial_results_of(variable: str) -> str:
    """The peeled block whose partial results a variable counts: `lanes_sum_main` is about `sum`."""
    return variable.removeprefix("lanes_").removesuffix("_main")


def _nearest(space: SearchSpace, name: str, value: int) -> int | None:
    domain = next(each.domain for each in space.problem.variables if each.name == name)
    return None if domain is None else min(domain.values, key=lambda each: (abs(each - value), each))
