"""One group of a graph on one of several devices: which one, its code there, and how far that was checked here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from flextune.apply.build import Schedule
from flextune.compat.named_workload import byte_product, named_workload
from flextune.errors import EnvironmentFault, FlextuneError, UsageError
from flextune.measure.kernel_check import output_fault
from flextune.platforms import platform_registry
from flextune.platforms.base import Kernel, Source, SourcePlatform
from flextune.schedule.space import SearchSpace
from flextune.target import kinds
from flextune.target.target import Target
from flextune.trial.measurement import Candidate
from flextune.workload.workload import Workload

MOST_EMULATED = 100_000_000
"""Arithmetic operations of a group that is executed by an emulator or simulator, which takes seconds for as many."""
MOST_REFERENCE = 2_000_000_000
"""The same where only the reference is slow."""

_HALF = "float16"

_Fitting: TypeAlias = tuple[Workload, SearchSpace, str]
"""A workload with its space on a device, and what is changed for it in words."""


@dataclass(frozen=True, slots=True)
class Check:
    """One step of what can be done with code."""

    step: str
    """`compiled` or `executed`."""
    is_done: bool
    """Whether it was done, and all was right."""
    detail: str
    """By what, or why not."""

    def __str__(self) -> str:
        return f"{self.step}: {'' if self.is_done else 'not done: '}{self.detail}"


@dataclass(frozen=True, slots=True)
class GroupCode:
    """A group on its device."""

    name: str
    """Of the kernel in the graph."""
    device: str
    """The text of the target that it is placed on; empty where no device has a schedule for it."""
    source: Source
    """Its code; of a group without a device nothing."""
    workload: Workload | None
    """What the code computes."""
    notes: tuple[str, ...]
    """Why earlier devices do not take it, and what is computed otherwise than in the model."""
    checks: tuple[Check, ...] = ()

    @property
    def is_wrong(self) -> bool:
        """Whether it was executed and gave something else than the reference."""
        return any(each.step == "executed" and each.detail.startswith("WRONG") for each in self.checks)


def place_group(
    name: str, workload: Workload, targets: Sequence[Target], schedules: Mapping[str, Schedule], is_checked: bool
) -> GroupCode:
    """A group on the first of the devices that has a schedule for it, with its code.

    It is compiled and executed where `is_checked`, as far as there are tools.
    """
    notes: list[str] = []
    for target in targets:
        try:
            fitting, space, note = _fitting(workload, target)
            candidate = _candidate(fitting, space, target, schedules.get(fitting.key))
            source = _source(candidate)
        except FlextuneError as error:
            notes.append(f"not on {target.kind}: {error}")
            continue
        code = GroupCode(name, str(target), source, fitting, (*notes, *filter(None, [note])))
        return replace(code, checks=tuple(_checks(candidate, source))) if is_checked else code
    return GroupCode(name, "", Source("", ""), workload, tuple(notes))


def _fitting(workload: Workload, target: Target) -> _Fitting:
    """The workload on this device, if not as it is then as an operator with a name. UsageError where it has neither."""
    platform = platform_registry.get(target.kind)
    try:
        return workload, platform.search_space(workload, target), ""
    except UsageError as error:
        refusal = error
    if workload.flops > MOST_REFERENCE:
        raise refusal
    for each, note in _named_forms(workload):
        try:
            return each, platform.search_space(each, target), note
        except UsageError:
            continue
    raise refusal


def _named_forms(workload: Workload) -> Iterator[tuple[Workload, str]]:
    """What a device may compute in place of a model's program, and what is different then."""
    named, product = named_workload(workload), byte_product(workload)
    if product is not None:
        yield product, f"as {product} of the first operand less 128; to each row of its result the host adds a vector"
    if named is None:
        return
    yield named, f"as {named}"
    if named.operator == "gemm":
        half = Workload(named.operator, tuple((k, _HALF if k == "dtype" else v) for k, v in named.params))
        yield half, f"as {half}: rounded to {_HALF}, it differs by up to {_rounding(named, half):.1e} of the largest"


def _rounding(named: Workload, half: Workload) -> float:
    """The largest difference that the other type makes on random numbers, over the largest of the results."""
    exact = [array.astype(np.float32) for array in named.random_inputs(0)]
    [rounded] = half.reference([array.astype(spec.dtype) for array, spec in zip(exact, half.inputs, strict=True)])
    [want] = named.reference(exact)
    return float(np.abs(rounded.astype(np.float32) - want).max() / max(float(np.abs(want).max()), 1e-30))


def _candidate(workload: Workload, space: SearchSpace, target: Target, schedule: Schedule | None) -> Candidate:
    if schedule is None:
        return Candidate(workload, target, space.trace, space.default)
    trace, values = schedule
    return Candidate(workload, target, trace, type(space.default)(values))


def _source(candidate: Candidate) -> Source:
    platform = platform_registry.get(candidate.target.kind)
    if not isinstance(platform, SourcePlatform):
        raise UsageError(f"platform {candidate.target.kind} does not show its code")
    return platform.source(candidate)


def _checks(candidate: Candidate, source: Source) -> Iterator[Check]:
    target, workload = candidate.target, candidate.workload
    platform = platform_registry.get(target.kind)
    try:
        [artifact] = platform.build([candidate])
    except EnvironmentFault as fault:
        yield Check("compiled", False, str(fault))
        yield Check("executed", False, "it is not compiled")
        return
    except FlextuneError as error:
        yield Check("compiled", False, f"WRONG: {error}")
        return
    if source.is_compiled_by_driver:
        yield Check("compiled", False, "the device's driver does that; what it needs of the device was checked")
    else:
        yield Check("compiled", True, artifact.kind)
    if reason := kinds.unmeasurable(target):
        yield Check("executed", False, reason)
    elif workload.flops > (most := MOST_REFERENCE if kinds.runs_here(target) else MOST_EMULATED):
        yield Check("executed", False, f"{workload.flops} operations; kernels of at most {most} are tried here")
    else:
        yield _executed(candidate, platform_registry.get(target.kind).load(artifact))


def _executed(candidate: Candidate, kernel: Kernel) -> Check:
    scale = kinds.scale_of(candidate.target)
    fault = output_fault(kernel, candidate.workload)
    if fault:
        return Check("executed", False, f"WRONG: {fault}")
    by = kinds.runner_of(candidate.target)
    if scale.is_time:
        return Check("executed", True, f"{by}: outputs are right")
    [cost] = kernel.time(1, 1)
    return Check("executed", True, f"{by}: outputs are right; {cost:.6g} {scale.unit}, {scale.origin}")
