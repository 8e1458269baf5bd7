"""A partitioned model and its best schedules to an `Executable`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import tvm
from tvm import relax

from flextune.apply.executable import Executable, Signature
from flextune.apply.generic import generic_schedule
from flextune.apply.rewrite import Replacement, replace_functions
from flextune.apply.threads import default_thread_count
from flextune.errors import FlextuneError
from flextune.graph.model import ValueSpec
from flextune.graph.partition import ModelTask, Partition
from flextune.platforms import registry as platforms
from flextune.platforms.x86.build import tvm_target
from flextune.schedule.apply import apply_trace
from flextune.schedule.trace import Trace
from flextune.target.target import Target

Schedule = tuple[Trace, Mapping[str, int]]
"""A trace and the assignment that closes it."""


class Origin(StrEnum):
    """Where the schedule of a built group came from."""

    TUNED = "tuned"
    DEFAULT = "default"
    GENERIC = "generic"


@dataclass(frozen=True, slots=True)
class BuiltTask:
    """One task of a built model: the origin of its schedule, and why it is not a better one (empty when it is)."""

    name: str
    workload_key: str
    count: int
    origin: Origin
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Build:
    """A built model and how each of its tasks was built."""

    executable: Executable
    tasks: tuple[BuiltTask, ...]


def compile_model(
    partition: Partition, schedules: Mapping[str, Schedule], target: Target, threads: int | None = None
) -> Build:
    """Build the model with `schedules` (by workload key); every other task gets its platform's default schedule.

    A task without any rule, or whose schedule turns out to be illegal, gets a generic schedule, and `Build.tasks` says so.
    With no schedules at all this is the model as it is without tuning.
    """
    replacements: dict[str, Replacement] = {}
    built = []
    for task in partition.tasks:
        replacement, record = _scheduled(task, schedules.get(task.workload.key), target)
        built.append(record)
        replacements.update(dict.fromkeys(task.functions, replacement))
    for name in partition.fallbacks:
        replacements[name] = Replacement(generic_schedule(partition.module[name], target))
    module = replace_functions(partition.module, replacements)
    library = tvm.compile(module, target=tvm_target(target))
    signature = _signature(partition, target, threads or default_thread_count())
    return Build(Executable(library.jit(), signature, library), tuple(built))


def _scheduled(task: ModelTask, schedule: Schedule | None, target: Target) -> tuple[Replacement, BuiltTask]:
    """The scheduled function of one task: the given schedule, else the default one, else a generic one."""
    reasons = []
    for origin, find in ((Origin.TUNED, lambda: schedule), (Origin.DEFAULT, lambda: _default(task, target))):
        try:
            found = find()
            if found is None:
                continue
            program = apply_trace(task.workload, *found)
        except FlextuneError as error:
            reasons.append(f"{origin}: {error}")
            continue
        replacement = Replacement(program.module["main"], program.packs)
        return replacement, BuiltTask(task.name, task.workload.key, task.count, origin, "; ".join(reasons))
    function = generic_schedule(task.workload.prim_func(), target)
    record = BuiltTask(task.name, task.workload.key, task.count, Origin.GENERIC, "; ".join(reasons))
    return Replacement(function), record


def _default(task: ModelTask, target: Target) -> Schedule:
    space = platforms.get(target.kind).search_space(task.workload, target)
    return space.trace, space.default


def _signature(partition: Partition, target: Target, threads: int) -> Signature:
    returned = partition.module["main"].ret_ty
    fields = list(returned.fields) if isinstance(returned, relax.TupleType) else [returned]
    outputs = tuple(
        ValueSpec(name, tuple(int(size) for size in field.shape), str(field.dtype))
        for name, field in zip(partition.model.outputs, fields, strict=True)
    )
    return Signature(partition.model.name, partition.model.inputs, outputs, str(target), threads)
