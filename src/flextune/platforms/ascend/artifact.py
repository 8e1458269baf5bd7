"""A kernel as bytes: what it was made for, and the library that executes it in the emulation."""

from __future__ import annotations

import json

from flextune.errors import BuildError, FlextuneError
from flextune.platforms.ascend.emulation.emulator import compiled
from flextune.platforms.ascend.form import Product, Rows, form_of
from flextune.platforms.ascend.source import emulated_source
from flextune.target.target import Target
from flextune.trial.artifact import Artifact, CompilerReport
from flextune.trial.measurement import Candidate
from flextune.workload.parse import parse_workload

KIND = "Ascend C for the emulation"


def artifact_of(candidate: Candidate) -> Artifact:
    """A line of JSON, then a shared library. BuildError where g++ refuses the kernel."""
    form = form_of(candidate.workload)
    library = compiled(emulated_source(form, candidate.assignment))
    described = {"workload": str(candidate.workload), "target": str(candidate.target)}
    content = json.dumps(described).encode() + b"\n" + library
    return Artifact(KIND, content, report=CompilerReport(code_bytes=len(library)))


def opened(artifact: Artifact) -> tuple[Product | Rows, Target, bytes]:
    """Inverse of `artifact_of`. Raises `BuildError` for others."""
    if artifact.kind != KIND:
        raise BuildError(f"expected {KIND}, got {artifact.kind!r}")
    head, _, library = artifact.content.partition(b"\n")
    try:
        described = json.loads(head)
        return form_of(parse_workload(described["workload"])), Target.parse(described["target"]), library
    except (ValueError, KeyError, TypeError, FlextuneError) as error:
        raise BuildError(f"no {KIND}: {artifact.content[:80]!r}: {error}") from error
