"""The schedule spaces of x86 processors: the rules of all CPUs, with x86's limits and intrinsics."""

from __future__ import annotations

from functools import lru_cache

from flextune.platforms.cpu.limits import CpuLimits
from flextune.platforms.cpu.space import cpu_space
from flextune.platforms.x86.intrinsics import available_intrinsics, register_intrinsics
from flextune.platforms.x86.kind import vector_registers
from flextune.schedule.space import SearchSpace
from flextune.target.target import Target
from flextune.workload.workload import Workload

_KEPT_SPACES = 1024


@lru_cache(_KEPT_SPACES)
def generate_space(workload: Workload, target: Target) -> SearchSpace:
    """The space of schedules of `workload` on `target`, kept for the next who asks: every build of a model does."""
    register_intrinsics()
    return cpu_space(workload, target, limits_of(target))


def limits_of(target: Target) -> CpuLimits:
    """What the rules must know of an x86 processor."""
    return CpuLimits.of(target, vector_registers(target), available_intrinsics(target))
