"""The platform for tests."""

import numpy as np
import pytest

from flextune.csp.assignment import Assignment
from flextune.errors import BuildError
from flextune.platforms.null.kernel import Fault, NullKernel, null_secs
from flextune.platforms.null.platform import NullPlatform
from flextune.schedule.trace import Trace
from flextune.target.target import Target
from flextune.trial.artifact import Artifact
from flextune.trial.measurement import Candidate
from flextune.workload.parse import parse_workload

WORKLOAD = parse_workload("gemm:m=4,n=4,k=4")
TARGET = Target.parse("null:cpu=none,cores=1")


def candidate(fault: Fault) -> Candidate:
    return Candidate(WORKLOAD, TARGET, Trace(()), Assignment({"rows": 2, "fault": fault}))


def test_space_has_its_default_and_a_bound() -> None:
    space = NullPlatform().search_space(WORKLOAD, TARGET)
    assert space.default in space.solutions
    assert all(found["rows"] * found["columns"] <= 4096 for found in space.solutions.enumerate())
    assert Assignment({"rows": 256, "columns": 256, "unroll": 1, "area": 65536}) not in space.solutions


def test_times_follow_the_assignment_alone() -> None:
    first, second = Assignment({"rows": 2, "columns": 8}), Assignment({"columns": 8, "rows": 2})
    assert null_secs(first) == pytest.approx(null_secs(second))
    assert null_secs(first) != null_secs(Assignment({"rows": 4, "columns": 8}))
    kernel = NullKernel(WORKLOAD, first, Fault.NONE)
    assert kernel.time(10, 3) == (null_secs(first),) * 3


def test_outputs_are_right_unless_they_shall_not_be() -> None:
    inputs = WORKLOAD.random_inputs(0)
    right = WORKLOAD.reference(inputs)[0]
    for fault, wrong in ((Fault.NONE, 0), (Fault.WRONG_OUTPUT, 1), (Fault.UNWRITTEN_OUTPUT, 1)):
        output = np.full_like(right, np.nan)
        [artifact] = NullPlatform().build([candidate(fault)])
        kernel = NullPlatform().load(artifact)
        kernel.bind([array.copy() for array in inputs], [output])
        kernel.run()
        assert np.count_nonzero(output != right) == wrong


def test_what_it_cannot_build_or_load() -> None:
    with pytest.raises(BuildError, match="no code for this candidate"):
        NullPlatform().build([candidate(Fault.NONE), candidate(Fault.BUILD_ERROR)])
    with pytest.raises(BuildError, match="loads artifacts of kind 'null', not 'shared library'"):
        NullPlatform().load(Artifact("shared library", b"\x7fELF"))
    with pytest.raises(BuildError, match="no null artifact"):
        NullPlatform().load(Artifact("null", b"[]"))
