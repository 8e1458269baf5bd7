"""A platform without hardware: outputs come from the reference, times from the assignment.

The whole tuning loop, workers included, runs on it in a moment and ends the same way every time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from flextune.csp import Assignment, Domain, Le, Problem, Prod, Variable
from flextune.errors import UsageError
from flextune.platforms.base import Kernel
from flextune.platforms.null.kernel import Fault, NullKernel
from flextune.schedule.space import SearchSpace
from flextune.schedule.trace import Trace
from flextune.target.target import Target
from flextune.trial.measurement import Candidate
from flextune.workload.workload import Workload

if TYPE_CHECKING:
    from flextune.schedule.apply import ScheduledProgram

_RULE = "null"


class NullPlatform:
    """See `flextune.platforms.base.Platform`. There is no code, so `lower` and `build` raise."""

    name = "null"

    def search_space(self, workload: Workload, target: Target) -> SearchSpace:
        """The same small space for every workload: two tiles with a bound on their product, and an unroll factor."""
        powers = Domain.powers_of_two(1, 256)
        variables = (
            Variable("rows", powers),
            Variable("columns", powers),
            Variable("unroll", Domain.of(1, 2, 4, 8)),
            Variable("area"),
        )
        constraints = (
            Prod("area", ("rows", "columns"), name="area", rule=_RULE),
            Le("area", 4096, name="area_fits", reason="a tile holds at most 4096 elements", rule=_RULE),
        )
        problem = Problem(variables, constraints)
        default = Assignment({"rows": 1, "columns": 1, "unroll": 1, "area": 1})
        return SearchSpace(workload, target, Trace(()), problem, default, (_RULE,))

    def lower(self, candidate: Candidate) -> ScheduledProgram:
        raise UsageError(f"the null platform makes no code: {candidate.workload} needs another target to be lowered")

    def build(self, module: Any, target: Target) -> Any:
        del module
        raise UsageError(f"the null platform makes no code: nothing can be built for {target}")

    def kernels(self, candidates: Sequence[Candidate]) -> Sequence[Kernel]:
        return [_kernel(candidate) for candidate in candidates]


def _kernel(candidate: Candidate) -> Kernel:
    fault = Fault(candidate.assignment.get(Fault.variable(), Fault.NONE))
    fault.strike_build()
    return NullKernel(candidate.workload, candidate.assignment, fault)
