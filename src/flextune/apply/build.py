"""A partitioned model and its best schedules to an `Executable`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache
from typing import Any

import tvm
from tvm import relax

from flextune.analysis.sharing import cycles_to_share
from flextune.analysis.sizes_of_shapes import size_of, variables_in
from flextune.apply.assemble import assemble
from flextune.apply.executable import Executable
from flextune.apply.generic import generic_schedule
from flextune.apply.in_place import decide_in_place
from flextune.apply.kernel_objects import InProcess, ObjectWriter
from flextune.apply.kernel_sharing import with_cycles_to_share
from flextune.apply.native_build import temporary_folder
from flextune.apply.program import Size, Step
from flextune.apply.reading import read_straight_line
from flextune.apply.scheduled_functions import Replacement, replace_functions
from flextune.apply.shared_forms import form_of, program_packing, shared_constants
from flextune.apply.signature import Runtime, Signature
from flextune.apply.threads import default_thread_count
from flextune.errors import BuildError, FlextuneError, KernelError
from flextune.importing.sized.equal_sizes import equal_sizes
from flextune.importing.values import ValueSpec
from flextune.lowering.calls import call_sites
from flextune.plan.partition import ModelTask, Partition
from flextune.platforms import platform_registry as platforms
from flextune.platforms.symbolic_kernels import applied, by_variant, scheduled_by_default
from flextune.schedule.apply import ScheduledProgram, apply_trace
from flextune.schedule.trace import Trace
from flextune.target.target import Target
from flextune.trial.variant import Variant
from flextune.tvm_types import IRModule, PrimFunc, RelaxType, Variable
from flextune.workload.dim_expr import DimExpr
from flextune.workload.workload import Workload

Schedule = tuple[Trace, Mapping[str, int]]
"""A trace and the assignment that closes it."""


Variants = Sequence[tuple[Variant, DimExpr]]
"""Schedules of a task with symbolic sizes, each with what it costs over its symbols: the first of the least is run."""


class Origin(StrEnum):
    """Where the schedule of a built group came from; nothing is left to do of a group that is in place."""

    TUNED = "tuned"
    DEFAULT = "default"
    GENERIC = "generic"
    IN_PLACE = "in place"


@dataclass(frozen=True, slots=True)
class BuiltTask:
    """One task of a built model, and how it was built."""

    name: str
    """What it is called in the model and in reports."""
    workload_key: str
    """What its records are filed under."""
    count: int
    """How often the model calls it."""
    origin: Origin
    """Where its schedule comes from."""
    reason: str = ""
    """Why it is not a better one; empty when it is."""


@dataclass(frozen=True, slots=True)
class Build:
    """A built model and how each of its tasks was built."""

    executable: Executable
    tasks: tuple[BuiltTask, ...]


def compile_model(
    partition: Partition,
    schedules: Mapping[str, Schedule],
    target: Target,
    threads: int | None = None,
    in_place: bool = True,
    writer: ObjectWriter | None = None,
    variants: Mapping[str, Variants] | None = None,
) -> Build:
    """Build the model with `schedules` (by workload key); every other task gets its platform's default schedule.

    Tasks with symbolic sizes may have several schedules, `variants` by the names of tasks, and the library chooses
    between them for every new combination of sizes.

    A task without any rule, or whose schedule turns out to be illegal, gets a generic one, and `Build.tasks` says so.
    With no schedules at all this is the model as it is without tuning. Without `in_place` concatenations and slices are
    copies. `writer` compiles the kernels, by default in this process, which a crash of the compiler then ends.
    """
    writer = writer or InProcess()
    candidates = _candidates(partition, schedules, target, variants or {})
    signature = _signature(partition, target, threads or default_thread_count(target))
    try:
        executable = assemble(_module(partition, candidates, target), signature, target, in_place, writer)
    except KernelError:  # one group in it cannot be compiled: find it
        candidates = {name: _buildable(partition, candidate, target, writer) for name, candidate in candidates.items()}
        executable = _assembled(_module(partition, candidates, target), signature, target, writer, in_place)
    return Build(executable, tuple(_as_called(each.built, executable) for each in candidates.values()))


def workloads_in_place(partition: Partition) -> frozenset[str]:
    """Keys of the workloads of which no call is left in a built model: concatenations and slices that are views."""
    if partition.model.dims:
        return frozenset()
    code = read_straight_line(partition.module, partition.model.inputs)
    if code is None:
        return frozenset()
    called = {step.kernel for step in decide_in_place(code).steps(code) if isinstance(step, Step)}
    return frozenset(task.workload.key for task in partition.tasks if called.isdisjoint(task.functions))


def compile_unscheduled(partition: Partition, target: Target, threads: int | None = None) -> Executable:
    """The model with TVM's own fusion and not one schedule step: what the other builds are made of."""
    signature = _signature(partition, target, threads or default_thread_count(target))
    return _assembled(partition.module, signature, target, InProcess())


def kernel_function(partition: Partition, name: str, schedules: Mapping[str, Schedule], target: Target) -> Any:
    """The scheduled PrimFunc that `compile_model` compiles for a task or fallback of this name."""
    task = next((task for task in partition.tasks if task.name == name), None)
    if task is None:
        return generic_schedule(partition.module[name], target)
    return _scheduled(partition, task, schedules.get(task.workload.key), target).replacement.function


def scheduled_module(
    partition: Partition, schedules: Mapping[str, Schedule], target: Target
) -> tuple[IRModule, tuple[BuiltTask, ...]]:
    """What `compile_model` compiles: Relax `main` over scheduled PrimFuncs, whose sizes may be symbolic."""
    candidates = _candidates(partition, schedules, target, {})
    return _module(partition, candidates, target), tuple(each.built for each in candidates.values())


@dataclass(frozen=True, slots=True, eq=False)
class _Candidate:
    task: ModelTask
    replacement: Replacement
    built: BuiltTask

    @property
    def work(self) -> int:
        """Arithmetic operations of all calls."""
        return self.task.workload.flops * self.task.count


def _candidates(
    partition: Partition, schedules: Mapping[str, Schedule], target: Target, variants: Mapping[str, Variants]
) -> dict[str, _Candidate]:
    """A scheduled function for every task, or several."""
    candidates = {
        task.name: _in_variants(partition, task, variants[task.name], target)
        if variants.get(task.name)
        else _scheduled(partition, task, schedules.get(task.workload.key), target)
        for task in partition.tasks
    }
    return _packed_alike(partition, candidates, target)


def _scheduled(partition: Partition, task: ModelTask, schedule: Schedule | None, target: Target) -> _Candidate:
    """The scheduled function of one task: the given schedule, else the default one, else a generic one."""
    platforms.get(target.kind)  # from here on its traces may name its instructions
    reasons: list[str] = []
    for origin in (Origin.TUNED, Origin.DEFAULT):
        if origin is Origin.TUNED and schedule is None:
            continue
        try:
            program = _program(partition, task, schedule if origin is Origin.TUNED else None, target)
        except FlextuneError as error:
            reasons.append(f"{origin}: {error}")
            continue
        return _candidate(
            task,
            Replacement(_noted(partition, task, program.module["main"], target), program.packs, task.workload.key),
            origin,
            "; ".join(reasons),
        )
    return _generic(partition, task, target, "; ".join(reasons))


def _in_variants(partition: Partition, task: ModelTask, variants: Variants, target: Target) -> _Candidate:
    """The functions of one task, all of which take the same packed constants; else the default one, and why."""
    platforms.get(target.kind)
    function, constants = _plain(partition, task), task.workload.constants
    try:
        programs = [by_variant(function, variant, constants, target) for variant, _ in variants]
        if any(each.packs != programs[0].packs for each in programs):
            raise BuildError("they take constants in several forms, and only one is stored")
    except FlextuneError as error:
        default = _scheduled(partition, task, None, target)
        return replace(default, built=replace(default.built, reason=f"{Origin.TUNED}: {error}"))
    noted = [_noted(partition, task, each.module["main"], target) for each in programs]
    functions = tuple((each, cost) for each, (_, cost) in zip(noted, variants, strict=True))
    replacement = Replacement(functions[0][0], programs[0].packs, task.workload.key, functions)
    return _candidate(task, replacement, Origin.TUNED, "")


def _program(partition: Partition, task: ModelTask, schedule: Schedule | None, target: Target) -> ScheduledProgram:
    """The function of a task by a schedule, or by the default one. FlextuneError where that cannot be applied."""
    if not task.sizes:
        trace, assignment = schedule or _default(task, target)
        return _applied(task.workload, trace, tuple(assignment.items()), target)
    function, constants = _plain(partition, task), task.workload.constants
    if schedule is None:
        return scheduled_by_default(function, dict(task.typical), constants, target)[1]
    return applied(function, dict(task.sizes), *schedule, constants, target)


def _plain(partition: Partition, task: ModelTask) -> PrimFunc:
    """The function of a task without a schedule."""
    return partition.module[task.name].with_attr("global_symbol", "main") if task.sizes else task.workload.prim_func()


def _noted(partition: Partition, task: ModelTask, scheduled: PrimFunc, target: Target) -> PrimFunc:
    """The scheduled function of a task with a note of the sizes, if these differ, that it is for one core at."""
    if not task.sizes:
        return scheduled
    return with_cycles_to_share(scheduled, cycles_to_share(_plain(partition, task), target))


@lru_cache(maxsize=256)
def _applied(
    workload: Workload, trace: Trace, assignment: tuple[tuple[str, int], ...], target: Target
) -> ScheduledProgram:
    """As `apply_trace`; builds of one model that take turns have most of their kernels in common."""
    return apply_trace(workload, trace, dict(assignment), target)


def _packed_alike(partition: Partition, candidates: Mapping[str, _Candidate], target: Target) -> dict[str, _Candidate]:
    """The candidates, of which those with default schedules pack a large constant as the one with most work with it."""
    tasks = list(candidates.values())
    task_of = {name: place for place, each in enumerate(tasks) for name in each.task.functions}
    settled: set[int] = set()
    for uses in shared_constants(call_sites(partition.module), task_of):
        leader = max(uses, key=lambda use: (tasks[use.task].built.origin is Origin.TUNED, tasks[use.task].work))
        form = form_of(tasks[leader.task].replacement.packs, leader.index)
        settled.add(leader.task)
        for use in uses:
            each = tasks[use.task]
            is_free = each.built.origin is Origin.DEFAULT and use.task not in settled and not each.task.sizes
            if form is None or not is_free or form_of(each.replacement.packs, use.index) == form:
                continue
            program = program_packing(each.task.workload, target, use.index, form)
            if program is not None:
                packed = replace(each.replacement, function=program.module["main"], packs=program.packs)
                tasks[use.task] = replace(each, replacement=packed)
                settled.add(use.task)
    return dict(zip(candidates, tasks, strict=True))


def _as_called(built: BuiltTask, executable: Executable) -> BuiltTask:
    """The task as the executable has it, which may be without a kernel."""
    called = executable.workload_keys.values()
    if executable.signature.runtime is not Runtime.OWN or built.workload_key in called:
        return built
    return replace(built, origin=Origin.IN_PLACE, reason="")


def _buildable(partition: Partition, candidate: _Candidate, target: Target, writer: ObjectWriter) -> _Candidate:
    """The candidate, or a generic one where its function alone cannot be compiled."""
    alone = candidate.replacement
    functions = [alone.function, *(function for function, _ in alone.variants[1:])]
    kernel = tvm.IRModule({f"k{n}": each.with_attr("global_symbol", f"k{n}") for n, each in enumerate(functions)})
    try:
        with temporary_folder() as folder:
            writer.write(kernel, target, folder.path)
    except KernelError as error:
        return _generic(partition, candidate.task, target, f"{candidate.built.origin}: {error}")
    return candidate


def _generic(partition: Partition, task: ModelTask, target: Target, reason: str) -> _Candidate:
    function = _noted(partition, task, generic_schedule(_plain(partition, task), target), target)
    return _candidate(task, Replacement(function, workload_key=task.workload.key), Origin.GENERIC, reason)


def _candidate(task: ModelTask, replacement: Replacement, origin: Origin, reason: str) -> _Candidate:
    return _Candidate(task, replacement, BuiltTask(task.name, task.workload.key, task.count, origin, reason))


def _module(partition: Partition, candidates: Mapping[str, _Candidate], target: Target) -> tvm.IRModule:
    replacements = {
        name: candidate.replacement for candidate in candidates.values() for name in candidate.task.functions
    }
    for name in partition.fallbacks:
        replacements[name] = Replacement(generic_schedule(partition.module[name], target))
    return replace_functions(partition.module, replacements)


def _assembled(
    module: tvm.IRModule, signature: Signature, target: Target, writer: ObjectWriter, in_place: bool = True
) -> Executable:
    """The model, with copies where its kernels cannot be compiled for tensors that are parts of others."""
    try:
        return assemble(module, signature, target, in_place, writer)
    except KernelError as error:
        if not in_place:
            raise BuildError(f"the model cannot be compiled: {error}") from error
        reason = str(error)
    executable = _assembled(module, signature, target, writer, in_place=False)
    executable.notes += (f"concatenations and slices are copies, because in place TVM says: {reason}",)
    return executable


def _default(task: ModelTask, target: Target) -> Schedule:
    space = platforms.get(target.kind).search_space(task.workload, target)
    return space.trace, space.default


def _signature(partition: Partition, target: Target, threads: int) -> Signature:
    returned = partition.module["main"].ret_ty
    fields = list(returned.fields) if isinstance(returned, relax.TupleType) else [returned]
    known = _variables(partition)
    outputs = tuple(
        ValueSpec.symbolic(name, _shape(name, field, known), partition.model.output_dtype(name, str(field.dtype)))
        for name, field in zip(partition.model.outputs, fields, strict=True)
    )
    model = partition.model
    equal = equal_sizes(model.proto, model.dims)
    return Signature(model.name, model.inputs, outputs, str(target), threads, dims=model.dims, equal=equal)


def _variables(partition: Partition) -> dict[Variable, Size]:
    """The sizes that variables in the shapes of `main`'s parameters stand for."""
    known: dict[Variable, Size] = {}
    for spec, parameter in zip(partition.model.inputs, partition.module["main"].params, strict=True):
        known |= variables_in(parameter.ty, spec.axis_sizes)
    return known


def _shape(name: str, kind: RelaxType, known: Mapping[Variable, Size]) -> list[DimExpr]:
    sizes = [size_of(size, known) for size in kind.shape]
    if None in sizes:
        raise BuildError(f"the shape of output {name!r} does not follow from those of the inputs: {kind}")
    return [DimExpr.of(size) for size in sizes if size is not None]
