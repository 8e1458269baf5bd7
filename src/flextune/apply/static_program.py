"""From Relax `main` over scheduled PrimFuncs to a `Program` and its weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tvm
from tvm import s_tir

from flextune.aligned import ALIGNMENT_BYTES
from flextune.apply.in_place import CopyStep, Decisions, Homes, Part, decide_in_place, lifetimes
from flextune.apply.memory_plan import plan_memory
from flextune.apply.program import Place, PlacedTensor, Port, Program, Step
from flextune.apply.reading import read_straight_line
from flextune.apply.signature import Signature
from flextune.apply.straight_line import Buffer, StraightLine
from flextune.apply.strided_kernels import StridedKernels
from flextune.apply.symbolic_program import may_be_empty, symbolic_program
from flextune.apply.weight_block import weight_block
from flextune.schedule.empty_reductions import set_before_reducing
from flextune.target.target import Target
from flextune.tvm_types import PrimFunc


@dataclass(frozen=True, slots=True, eq=False)
class StaticModel:
    """A program, its kernels as PrimFuncs, and its weights as one block of bytes."""

    program: Program
    kernels: Any
    weights: np.ndarray


def static_model(
    module: tvm.IRModule, signature: Signature, target: Target, in_place: bool = True
) -> StaticModel | None:
    """The model in static form, or None when it has none (shapes that its inputs do not tell, calls into a runtime).

    Without `in_place`, and in a model with sizes that are known only when it runs, every concatenation and slice is a
    kernel that copies.
    """
    code = read_straight_line(module, signature.inputs)
    if code is None:
        return None
    if signature.dims:
        program, weights = symbolic_program(code, signature)
        functions = code.functions
        if may_be_empty(code, signature.dims):
            functions = {name: _set_before_reducing(functions[name]) for name in program.kernels}
        return StaticModel(program, _kernels(program, functions), weights)
    decisions = decide_in_place(code) if in_place else Decisions()
    offsets, activation_bytes = _planned(code, decisions)
    weights = weight_block(code, offsets)
    kernels = StridedKernels(dict(code.functions), target)
    steps, homes = _placed(code, decisions, kernels)
    tensors = tuple(_tensor(code, homes, offsets, index) for index in range(len(code.tensors)))
    inputs = tuple(Port(spec.name, index) for index, spec in enumerate(signature.inputs))
    outputs = tuple(Port(spec.name, tensor) for spec, tensor in zip(signature.outputs, code.results, strict=True))
    program = Program(tensors, steps, inputs, outputs, weights.size, activation_bytes, tuple(code.loops))
    return StaticModel(program, _kernels(program, kernels.functions), weights)


def _set_before_reducing(function: PrimFunc) -> PrimFunc:
    schedule = s_tir.Schedule(function)
    set_before_reducing(schedule)
    return schedule.mod["main"]


def _kernels(program: Program, functions: Mapping[str, PrimFunc]) -> tvm.IRModule:
    return tvm.IRModule({name: functions[name].with_attr("global_symbol", name) for name in program.kernels})


def _planned(code: StraightLine, decisions: Decisions) -> tuple[dict[Buffer, int], int]:
    """The places of all activations, and the size of the block that holds them."""
    live = lifetimes(code, decisions)
    plan = plan_memory(list(live.values()), ALIGNMENT_BYTES)
    return dict(zip(live, plan.offsets, strict=True)), plan.nbytes


def _placed(code: StraightLine, decisions: Decisions, kernels: StridedKernels) -> tuple[tuple[Step, ...], Homes]:
    """The steps with kernels for where their arguments lie; copies into parts get tensors of their own."""
    parts = dict(decisions.parts)
    steps = [
        _copy(code, parts, kernels, step) if isinstance(step, CopyStep) else step for step in decisions.steps(code)
    ]
    homes = Homes(code, parts)
    placed = []
    for step in steps:
        types = [code.tensors[tensor][0] for tensor in step.arguments]
        found = [homes.of(tensor) for tensor in step.arguments]
        placed.append(kernels.placed(step, types, [home for home in found if home is not None]))
    return tuple(placed), homes


def _copy(code: StraightLine, parts: dict[Buffer, Part], kernels: StridedKernels, step: CopyStep) -> Step:
    kind = code.tensors[step.source][0]
    buffer = Buffer(kind.nbytes)
    into = code.add_tensor(kind, buffer)
    parts[buffer] = Part(into, step.whole, step.begins, tuple(range(len(kind.shape))))
    return Step(kernels.copy(kind), (step.source, into))


def _tensor(code: StraightLine, homes: Homes, offsets: dict[Buffer, int], index: int) -> PlacedTensor:
    kind = code.tensors[index][0]
    home = homes.of(index)
    if home is None:  # a view that nothing uses
        return PlacedTensor(kind, Place.ACTIVATION, 0)
    buffer, layout = home
    strides = None if layout.is_dense else layout.strides
    place = Place.ACTIVATION if buffer.place is None else buffer.place
    offset = offsets.get(buffer, 0) + layout.offset * kind.itemsize
    return PlacedTensor(kind, place, offset, buffer.port, strides)
