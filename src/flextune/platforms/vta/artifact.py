"""A program for VTA as bytes: what it was made for, instructions and micro-ops."""

from __future__ import annotations

import json

import numpy as np

from flextune.csp.assignment import Assignment
from flextune.errors import BuildError, FlextuneError
from flextune.platforms.vta.code_generation import Code
from flextune.platforms.vta.form import form_of
from flextune.platforms.vta.hardware import hardware_of
from flextune.platforms.vta.space import tiling_of
from flextune.platforms.vta.tiling import Tiling
from flextune.target.target import Target
from flextune.trial.artifact import Artifact, CompilerReport
from flextune.trial.measurement import Candidate
from flextune.workload.parse import parse_workload
from flextune.workload.workload import Workload

KIND = "instructions of VTA"


def artifact_of(candidate: Candidate, code: Code) -> Artifact:
    """A line of JSON, then instructions and micro-ops as the accelerator reads them."""
    described = {
        "workload": str(candidate.workload),
        "target": str(candidate.target),
        "assignment": str(candidate.assignment),
        "instructions": len(code.instructions),
    }
    instructions, micro_ops = code.instructions.astype("<u8").tobytes(), code.micro_ops.astype("<u4").tobytes()
    content = json.dumps(described).encode() + b"\n" + instructions + micro_ops
    return Artifact(KIND, content, report=CompilerReport(code_bytes=len(instructions) + len(micro_ops)))


def opened(artifact: Artifact) -> tuple[Workload, Tiling, Code]:
    """Inverse of `artifact_of`. Raises `BuildError` for others."""
    if artifact.kind != KIND:
        raise BuildError(f"expected {KIND}, got {artifact.kind!r}")
    head, _, rest = artifact.content.partition(b"\n")
    try:
        described = json.loads(head)
        workload, target = parse_workload(described["workload"]), Target.parse(described["target"])
        split = 16 * int(described["instructions"])
        instructions = np.frombuffer(rest[:split], dtype="<u8").reshape(-1, 2)
        code = Code(instructions, np.frombuffer(rest[split:], dtype="<u4"))
        tiling = tiling_of(form_of(workload), hardware_of(target), Assignment.parse(described["assignment"]))
    except (ValueError, KeyError, TypeError, FlextuneError) as error:
        raise BuildError(f"no {KIND}: {artifact.content[:80]!r}: {error}") from error
    return workload, tiling, code
