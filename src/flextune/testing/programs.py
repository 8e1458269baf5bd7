"""Build and run scheduled programs on the host, and hold them against NumPy: what tests of rules and steps share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tvm

from flextune.measure.output_check import check_outputs, poison
from flextune.platforms import platform_registry as platforms
from flextune.platforms.base import Array
from flextune.schedule.apply import ScheduledProgram, apply_trace
from flextune.schedule.space import SearchSpace
from flextune.target.target import Target
from flextune.workload.element_type import element_type


def run_program(
    program: ScheduledProgram, target: Target, inputs: Sequence[Array], references: Sequence[Array]
) -> list[Array]:
    """The outputs of a program. Their memory holds a wrong value for every element of `references` before the run."""
    packs = {pack.index: pack for pack in program.packs}
    placed = [packs[index].pack(array) if index in packs else array for index, array in enumerate(inputs)]
    wrong = [poison(reference, element_type(str(reference.dtype))) for reference in references]
    arguments = [tvm.runtime.tensor(np.ascontiguousarray(array)) for array in (*placed, *wrong)]
    platforms.compiler(target.kind).compile(program.module, target).jit()["main"](*arguments)
    return [argument.numpy() for argument in arguments[len(inputs) :]]


def run_function(function: Any, target: Target, inputs: Sequence[Array], references: Sequence[Array]) -> list[Array]:
    """As `run_program`, for a PrimFunc without packed inputs."""
    return run_program(ScheduledProgram(tvm.IRModule({"main": function})), target, inputs, references)


class MemberCheck:
    """Runs members of a space on inputs that are drawn once, and compares them with the workload's reference."""

    def __init__(self, space: SearchSpace, seed: int = 0) -> None:
        self.space = space
        self.inputs = space.workload.random_inputs(seed)
        self.references = space.workload.reference(self.inputs)

    def error(self, assignment: Mapping[str, int]) -> str:
        """What is wrong with the outputs of a member; empty when nothing is."""
        workload = self.space.workload
        program = apply_trace(workload, self.space.trace, assignment, self.space.target)
        outputs = run_program(program, self.space.target, self.inputs, self.references)
        return check_outputs(workload, outputs, self.references).error
