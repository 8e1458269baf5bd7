"""Kernels for x86 as bytes: loaded by a process that knows nothing else, on a machine without a linker too."""

import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from flextune.aligned import aligned_copy
from flextune.errors import BuildError
from flextune.platforms.base import Kernel
from flextune.platforms.cpu import shared_library
from flextune.platforms.x86.platform import X86Platform
from flextune.target.detect import detect
from flextune.trial.artifact import Artifact, CompilerReport
from flextune.trial.measurement import Candidate
from flextune.workload.parse import parse_workload

pytestmark = pytest.mark.hardware("x86")

WORKLOAD = parse_workload("gemm:m=24,n=40,k=16,weights=constant,epilogue=bias+relu")


def some_candidates(count: int) -> list[Candidate]:
    space = X86Platform().search_space(WORKLOAD, detect())
    assignments = [space.default, *space.solutions.sample(np.random.default_rng(0), count - 1)]
    return [Candidate(WORKLOAD, detect(), space.trace, assignment) for assignment in assignments]


def error_of(kernel: Kernel) -> float:
    """The largest difference from the reference."""
    inputs = WORKLOAD.random_inputs(1)
    expected = WORKLOAD.reference(inputs)[0]
    output = aligned_copy(np.full_like(expected, np.nan))
    kernel.bind([aligned_copy(array) for array in inputs], [output])
    kernel.run()
    return float(np.abs(output - expected).max())


LOADER = """
    import sys
    from pathlib import Path
    sys.path[:0] = {path!r}
    from test_x86_artifact import X86Platform, error_of
    from flextune.trial.artifact import Artifact

    for file in sys.argv[1:]:
        assert error_of(X86Platform().load(Artifact.parse(Path(file).read_text()))) < 1e-5
"""
BUILDER = """
    import sys
    from pathlib import Path
    sys.path[:0] = {path!r}
    from test_x86_artifact import X86Platform, some_candidates

    for index, artifact in enumerate(X86Platform().build(some_candidates(3))):
        Path(sys.argv[1], str(index)).write_text(artifact.to_json())
"""


def run_python(program: str, *arguments: str) -> None:
    code = textwrap.dedent(program).format(path=[str(Path(__file__).parent)])
    subprocess.run([sys.executable, "-c", code, *arguments], check=True)


def test_an_artifact_outlives_its_builder(tmp_path: Path) -> None:
    run_python(BUILDER, str(tmp_path))
    texts = sorted(map(str, tmp_path.iterdir()))
    assert len(texts) == 3
    run_python(LOADER, *texts)


def test_programs_built_together_share_their_content_and_have_a_length_each() -> None:
    artifacts = X86Platform().build(some_candidates(4))
    assert len({artifact.content for artifact in artifacts}) == 1
    assert len({artifact.entry for artifact in artifacts}) == 4
    lengths = [artifact.report.code_bytes or 0 for artifact in artifacts]
    assert all(length > 100 for length in lengths)
    assert sum(lengths) < len(artifacts[0].content)
    [alone] = X86Platform().build(some_candidates(1))
    assert alone.report.code_bytes == pytest.approx(lengths[0], abs=64)


def test_where_there_is_no_linker_the_loader_generates_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_library, "linker", lambda: None)
    [artifact] = X86Platform().build(some_candidates(1))
    assert artifact.kind == shared_library.LLVM_IR
    assert artifact.report == CompilerReport()
    assert error_of(X86Platform().load(artifact)) < 1e-5


def test_a_linker_that_fails_is_quoted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = tmp_path / "ld"
    broken.write_text("#!/bin/sh\necho cannot find memory >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setattr(shared_library, "linker", lambda: str(broken))
    with pytest.raises(BuildError, match="could not link a kernel: cannot find memory"):
        X86Platform().build(some_candidates(1))


@pytest.mark.parametrize(
    ("artifact", "message"),
    [
        (Artifact("null", b"{}"), "not an artifact of kind 'null'"),
        (Artifact(shared_library.SHARED_LIBRARY, b"garbage"), "could not be loaded"),
        (Artifact(shared_library.LLVM_IR, b"garbage"), "could not be loaded"),
    ],
)
def test_what_is_no_artifact_of_this_platform(artifact: Artifact, message: str) -> None:
    with pytest.raises(BuildError, match=message):
        X86Platform().load(artifact)


def test_an_entry_that_is_not_there() -> None:
    [artifact] = X86Platform().build(some_candidates(1))
    with pytest.raises(BuildError, match="no program 'other'"):
        X86Platform().load(Artifact(artifact.kind, artifact.content, "other"))
