"""Apply a trace to a workload: a pure function from text-like values to a scheduled program."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from flextune.analysis.symbols import has_sizes, without_sizes
from flextune.errors import ScheduleError
from flextune.schedule.empty_reductions import set_before_reducing
from flextune.schedule.masked_vectors import has_masked_stores
from flextune.schedule.packing import PackedInput
from flextune.schedule.step import Program
from flextune.schedule.trace import Trace
from flextune.schedule.vector_tails import split_vector_tails
from flextune.target.target import Target
from flextune.tvm_types import IRModule, PrimFunc
from flextune.workload.workload import Workload


@dataclass(frozen=True, slots=True)
class ScheduledProgram:
    """A TVM module with one function `main`; `packs` says which constant parameters it expects packed."""

    module: IRModule
    packs: tuple[PackedInput, ...] = ()


def apply_trace(
    workload: Workload, trace: Trace, assignment: Mapping[str, int], target: Target | None = None
) -> ScheduledProgram:
    """The program of `workload` under `trace` with the assignment's values.

    Traces may use the instructions of `target` (see `flextune.schedule.instructions`); without one they may use none.
    Raises `ScheduleError` naming the step when a step is illegal for this program.
    """
    return apply_steps(workload.prim_func(), trace, assignment, workload.constants, target)


def apply_steps(
    function: PrimFunc,
    trace: Trace,
    assignment: Mapping[str, int],
    constants: tuple[int, ...] = (),
    target: Target | None = None,
) -> ScheduledProgram:
    """As `apply_trace`, for a bare PrimFunc; `constants` are the indices of constant parameters.

    Its sizes may be symbolic if representative ones are noted (`analysis.symbols.with_sizes`), of which the trace was
    made: what comes out is right at all sizes.
    """
    program, symbolic = Program(function, assignment, constants, target), has_sizes(function)
    for number, step in enumerate(trace.steps):
        try:
            if step.rewrites and program.started:
                raise ScheduleError(f"{step.kind} must come before every primitive step")
            if step.rewrites and symbolic and not step.takes_symbols:
                raise ScheduleError(f"{step.kind} is for programs whose sizes are numbers")
            step.apply(program)
        except (RuntimeError, ValueError, TypeError) as error:  # TVM's errors derive from these
            raise ScheduleError(f"step {number} ({step.kind}) is illegal: {_first_line(error)}") from error
    if symbolic:
        _finish_reductions(program)
    module = program.schedule.mod
    masked = symbolic and target is not None and has_masked_stores(target)
    module.update_func(module.get_global_var("main"), split_vector_tails(without_sizes(module["main"]), masked=masked))
    return ScheduledProgram(module, tuple(program.packs))


def _finish_reductions(program: Program) -> None:
    try:
        set_before_reducing(program.schedule)
    except RuntimeError as error:
        raise ScheduleError(
            f"a reduction of symbolic length cannot be set to 0 before: {_first_line(error)}"
        ) from error


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return next((line for line in lines if "rror" in line), lines[0] if lines else type(error).__name__)
