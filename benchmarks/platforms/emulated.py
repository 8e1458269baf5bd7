"""Kernels on processors that QEMU emulates: instructions with the default schedule and with a tuned one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.platforms.case import PlatformCase
from flextune.database.store import open_database
from flextune.measure.local import local_runner
from flextune.measure.measure_options import MeasureOptions
from flextune.platforms import platform_registry
from flextune.platforms.base import CountedKernel
from flextune.schedule.space import SearchSpace
from flextune.target.kinds import scale_of
from flextune.target.target import Target
from flextune.temporary import PrivateFolder
from flextune.testing.platforms import output_fault
from flextune.trial.measurement import Candidate
from flextune.tuning.budget import Budget
from flextune.tuning.loop import tune_workload
from flextune.tuning.search_options import SearchOptions
from flextune.workload.parse import parse_workload
from flextune.workload.workload import Workload

VECTOR = "vector"
"""The part of a count that is vectors' arithmetic."""


@dataclass(frozen=True, slots=True)
class Device:
    """One device, and what is compared on it."""

    target: str
    """The target's text."""
    workloads: Sequence[str]
    """Their texts."""
    products: Mapping[str, int]
    """Multiply-adds of one instruction, by the type of the operands."""


def cases(devices: Sequence[Device], trials: int) -> Iterator[PlatformCase]:
    """Of each workload all instructions of a call, and those among them that compute with vectors."""
    for device in devices:
        yield from _of_device(device, trials)


def _of_device(device: Device, trials: int) -> Iterator[PlatformCase]:
    target, folder = Target.parse(device.target), PrivateFolder()
    with local_runner(MeasureOptions(), target) as runner, open_database(folder.path / "records.db") as database:
        for text in device.workloads:
            workload, options = parse_workload(text), SearchOptions().tune_options(Budget(trials))
            found = tune_workload(workload, target, options, database, runner=runner)
            assert found.best is not None
            space = platform_registry.get(target.kind).search_space(workload, target)
            tuned, fault = _counted(space, Candidate(workload, target, space.trace, found.best))
            default, usual = _counted(space, Candidate(workload, target, space.trace, space.default))
            yield from _rows(device, workload, tuned, default, not (fault or usual))
    folder.close()


def _rows(
    device: Device, workload: Workload, tuned: Mapping[str, float], default: Mapping[str, float], correct: bool
) -> Iterator[PlatformCase]:
    scale, ideal = scale_of(Target.parse(device.target)), least_instructions(workload, device)
    for what, cost, usual in (
        ("all instructions", sum(tuned.values()), sum(default.values())),
        ("vector instructions", tuned[VECTOR], default[VECTOR]),
    ):
        yield PlatformCase(device.target, f"{workload}: {what}", correct, cost, scale.unit, scale.origin, ideal, usual)


def least_instructions(workload: Workload, device: Device) -> float:
    """Full vectors of multiply-adds, and of whatever else is done to each element of the result."""
    plain = Workload(workload.operator, tuple((name, value) for name, value in workload.params if name != "epilogue"))
    [result] = workload.outputs
    lanes = Target.parse(device.target).vector_lanes(result.element.bits)
    return plain.flops / 2 / device.products[workload.dtype] + (workload.flops - plain.flops) / lanes


def _counted(space: SearchSpace, candidate: Candidate) -> tuple[Mapping[str, float], str]:
    """The instructions of one call by class, and what is wrong with its outputs on inputs that tuning did not have."""
    platform = platform_registry.get(space.target.kind)
    [artifact] = platform.build([candidate])
    kernel = platform.load(artifact)
    fault = output_fault(kernel, candidate.workload, seed=1)
    assert isinstance(kernel, CountedKernel)
    return dict(kernel.parts()), fault
