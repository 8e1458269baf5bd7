"""What every platform must pass.

Subclass `PlatformSuite` in a test module, name your platform and a target of it that this machine can run, and let
pytest find the class:

    class TestMyPlatform(PlatformSuite):
        name = "mine"
        target = Target.parse("mine:cores=2")

The platform must be found by its name in other processes too, as every platform must be.
"""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from flextune.csp.assignment import Assignment
from flextune.errors import FlextuneError
from flextune.measure.kernel_check import output_fault as output_fault
from flextune.platforms import platform_registry
from flextune.schedule.trace import Trace
from flextune.target.kinds import scale_of
from flextune.target.target import Target
from flextune.trial.artifact import Artifact
from flextune.trial.cost import CostOrigin, Unit
from flextune.trial.measurement import Candidate
from flextune.workload.parse import parse_workload
from flextune.workload.work import Work

ILLEGAL = Trace.from_json('[{"step": "mark", "loop": "no_such_loop", "how": "parallel"}]')


class PlatformSuite:
    """Tests of the contract of `Platform`."""

    name: str
    target: Target
    workload = "gemm:m=24,n=40,k=16,weights=constant"

    def unbuildable(self) -> Candidate:
        """A candidate that cannot be built."""
        return Candidate(parse_workload(self.workload), self.target, ILLEGAL, Assignment({}))

    def candidates(self, count: int) -> list[Candidate]:
        """The default and others of the workload's space, drawn from it."""
        workload = parse_workload(self.workload)
        space = platform_registry.get(self.name).search_space(workload, self.target)
        assignments = [space.default, *space.solutions.sample(np.random.default_rng(0), count - 1)]
        return [Candidate(workload, self.target, space.trace, assignment) for assignment in assignments]

    def artifacts(self, count: int) -> Sequence[Artifact]:
        return platform_registry.get(self.name).build(self.candidates(count))

    def test_it_is_found_by_its_name(self) -> None:
        assert self.name in platform_registry.names()
        assert platform_registry.get(self.name).name == self.name == self.target.kind

    def test_the_default_is_a_member_of_the_space(self) -> None:
        space = platform_registry.get(self.name).search_space(parse_workload(self.workload), self.target)
        assert space.default in space.solutions
        assert space.target == self.target

    def test_an_artifact_of_each_candidate_computes_the_workload(self) -> None:
        artifacts, workload = self.artifacts(3), parse_workload(self.workload)
        assert len(artifacts) == 3
        for artifact in artifacts:
            assert output_fault(platform_registry.get(self.name).load(artifact), workload) == ""

    def test_what_is_built_together_is_what_is_built_alone(self) -> None:
        workload, platform = parse_workload(self.workload), platform_registry.get(self.name)
        for candidate in self.candidates(2):
            [artifact] = platform.build([candidate])
            assert output_fault(platform.load(artifact), workload) == ""

    def test_an_artifact_is_text_that_round_trips(self) -> None:
        for artifact in self.artifacts(2):
            assert Artifact.parse(artifact.to_json()) == artifact

    def test_another_process_loads_it_from_its_text_alone(self, tmp_path: Path) -> None:
        files = []
        for index, artifact in enumerate(self.artifacts(2)):
            files.append(tmp_path / f"{index}.json")
            files[-1].write_text(artifact.to_json())
        command = [sys.executable, "-m", "flextune.testing.platforms", self.name, self.workload, *map(str, files)]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stderr

    def test_a_kernel_runs_on_what_it_was_bound_to_last(self) -> None:
        workload = parse_workload(self.workload)
        kernel = platform_registry.get(self.name).load(self.artifacts(1)[0])
        assert [output_fault(kernel, workload, seed) for seed in (0, 1, 2)] == [""] * 3

    def test_a_time_per_repeat(self) -> None:
        kernel = platform_registry.get(self.name).load(self.artifacts(1)[0])
        assert output_fault(kernel, parse_workload(self.workload)) == ""
        for number, repeats in ((1, 1), (1, 3), (20, 2)):
            times = kernel.time(number, repeats)
            assert len(times) == repeats
            assert all(0 < secs < (60 if scale_of(self.target).is_time else math.inf) for secs in times)

    def test_an_estimate_grows_with_the_work(self) -> None:
        platform, work = platform_registry.get(self.name), Work.of(parse_workload(self.workload))
        more = Work(10 * work.operations, 10 * work.bytes, work.dtype)
        costs = [platform.estimate(each, self.target) for each in (Work(), work, more)]
        assert 0 <= costs[0].total < costs[1].total < costs[2].total
        unit = Unit.CYCLES if scale_of(self.target).unit is Unit.CYCLES else Unit.SECONDS
        assert {(cost.unit, cost.origin) for cost in costs} == {(unit, CostOrigin.MODELLED)}

    def test_what_cannot_be_built_raises(self) -> None:
        with pytest.raises(FlextuneError):
            platform_registry.get(self.name).build([*self.candidates(1), self.unbuildable()])

    def test_it_loads_no_artifact_of_others(self) -> None:
        with pytest.raises(FlextuneError):
            platform_registry.get(self.name).load(Artifact("of another platform", b"what that makes"))


def main(name: str, workload: str, *files: str) -> None:
    """Loads artifacts and runs them; raises when one computes something else."""
    for file in files:
        kernel = platform_registry.get(name).load(Artifact.parse(Path(file).read_text()))
        if fault := output_fault(kernel, parse_workload(workload)):
            raise AssertionError(f"{file}: {fault}")


if __name__ == "__main__":
    main(*sys.argv[1:])
