"""A platform without hardware: outputs come from the reference, times from the assignment.

The whole tuning loop, workers included, runs on it in a moment and ends the same way every time.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from flextune.csp import Assignment, Domain, Le, Problem, Prod, Variable
from flextune.errors import BuildError
from flextune.platforms.base import Kernel
from flextune.platforms.null.kernel import Fault, NullKernel
from flextune.schedule.space import SearchSpace
from flextune.schedule.trace import Trace
from flextune.target.peaks import Peaks
from flextune.target.target import Target
from flextune.trial.artifact import Artifact, CompilerReport
from flextune.trial.cost import Cost
from flextune.trial.measurement import Candidate
from flextune.workload.parse import parse_workload
from flextune.workload.work import Work
from flextune.workload.workload import Workload

KIND = "null"
_RULE = "null"
_REPORT = CompilerReport(code_bytes=0)
_LAUNCH_SECS, _BYTE_SECS = 2e-6, 1e-10


class NullPlatform:
    """See `flextune.platforms.base.Platform`. Its artifacts say what they stand for, in place of code."""

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

    def build(self, candidates: Sequence[Candidate]) -> Sequence[Artifact]:
        for candidate in candidates:
            _fault(candidate.assignment).strike_build()
        return [Artifact(KIND, _content(candidate), report=_REPORT) for candidate in candidates]

    def load(self, artifact: Artifact, device: int = 0) -> Kernel:
        del device  # there is none
        if artifact.kind != KIND:
            raise BuildError(f"the null platform loads artifacts of kind {KIND!r}, not {artifact.kind!r}")
        try:
            described = json.loads(artifact.content)
            workload = parse_workload(described["workload"], described["body"])
            assignment = Assignment.parse(described["assignment"])
        except (ValueError, KeyError, TypeError) as error:
            raise BuildError(f"no null artifact: {artifact.content[:80]!r}: {error}") from error
        return NullKernel(workload, assignment, _fault(assignment))

    def estimate(self, work: Work, target: Target, peaks: Peaks | None = None) -> Cost:
        """Its bytes alone count."""
        del target, peaks
        return Cost(compute=0.0, memory=_BYTE_SECS * work.bytes, launch=_LAUNCH_SECS)


def _fault(assignment: Assignment) -> Fault:
    return Fault(assignment.get(Fault.variable(), Fault.NONE))


def _content(candidate: Candidate) -> bytes:
    """There is no code: a kernel comes from the reference, and its times from the assignment."""
    workload = candidate.workload
    described = {"workload": str(workload), "body": workload.body, "assignment": str(candidate.assignment)}
    return json.dumps(described).encode()
