"""What is built: the simulator of an overlay lies in the cache folder, and an artifact says which, and the schedule."""

from __future__ import annotations

import json

from flextune.csp.assignment import Assignment
from flextune.errors import BuildError, FlextuneError
from flextune.platforms.fpga.schedule import Schedule
from flextune.platforms.fpga.space import schedule_of, sizes_of
from flextune.target.target import Target
from flextune.trial.artifact import Artifact, CompilerReport
from flextune.trial.measurement import Candidate
from flextune.workload.parse import parse_workload
from flextune.workload.workload import Workload

KIND = "overlay and schedule"


def artifact_of(candidate: Candidate) -> Artifact:
    """As JSON."""
    described = {
        "workload": str(candidate.workload),
        "target": str(candidate.target),
        "assignment": str(candidate.assignment),
    }
    content = json.dumps(described).encode()
    return Artifact(KIND, content, report=CompilerReport(code_bytes=len(content)))


def opened(artifact: Artifact) -> tuple[Workload, Target, Schedule]:
    """Inverse of `artifact_of`. Raises `BuildError` for others."""
    if artifact.kind != KIND:
        raise BuildError(f"expected {KIND}, got {artifact.kind!r}")
    try:
        described = json.loads(artifact.content)
        workload, target = parse_workload(described["workload"]), Target.parse(described["target"])
        return workload, target, schedule_of(sizes_of(workload), Assignment.parse(described["assignment"]))
    except (ValueError, KeyError, TypeError, FlextuneError) as error:
        raise BuildError(f"no {KIND}: {artifact.content[:80]!r}: {error}") from error
