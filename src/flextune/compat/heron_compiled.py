"""Candidates of a Heron case built without a device: what the compiler says of them, and no times."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from flextune.compat.heron_case import CaseFolder
from flextune.errors import BuildError
from flextune.platforms import platform_registry
from flextune.schedule.space import SearchSpace
from flextune.target.target import Target
from flextune.trial.artifact import CompilerReport
from flextune.trial.measurement import Candidate
from flextune.workload.workload import Workload


@dataclass(frozen=True, slots=True)
class CompiledCase:
    """How many candidates were built, and how many of them spill registers to memory."""

    target: str
    candidates: int
    built: int
    spilling: int

    def __str__(self) -> str:
        target = self.target.partition(",")[0]
        return (
            f"{self.built} of {self.candidates} candidates built for {target}, {self.spilling} spill registers; "
            "none was measured"
        )

    def to_dict(self) -> dict[str, int | str]:
        return asdict(self)


def compile_case(path: Path, workload: Workload, target: Target, count: int, seed: int) -> CompiledCase:
    """Build the default of the case's space and others drawn from it, `count` together or all there are.

    `path` gets schedule.py with the default and compiled.jsonl with a line per candidate: the assignment, and what the
    compiler says of registers, spills, shared and code bytes, or why it refuses.
    """
    space = platform_registry.get(target.kind).search_space(workload, target)
    drawn = space.solutions.sample(np.random.default_rng(seed), min(count - 1, space.solutions.count))
    assignments = tuple(dict.fromkeys((space.default, *drawn)))
    found = [_built(space, Candidate(workload, target, space.trace, each)) for each in assignments]
    CaseFolder(path).create(resumed=False)
    lines = [
        json.dumps({"assignment": dict(assignment), **({"error": said} if isinstance(said, str) else asdict(said))})
        for assignment, said in zip(assignments, found, strict=True)
    ]
    (path / "compiled.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    CaseFolder(path).write_schedule(
        space.trace.python(space.default), str(workload), str(space.default), "not measured"
    )
    reports = [said for said in found if not isinstance(said, str)]
    spilling = sum(bool(report.spills) for report in reports)
    return CompiledCase(str(target), len(found), len(reports), spilling)


def _built(space: SearchSpace, candidate: Candidate) -> CompilerReport | str:
    """What the compiler says of a candidate, or why there is none."""
    try:
        [artifact] = platform_registry.get(space.target.kind).build([candidate])
    except BuildError as error:
        return str(error)
    return artifact.report
