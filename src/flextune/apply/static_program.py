"""From Relax `main` over scheduled PrimFuncs to a `Program` and its weights."""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tvm
from tvm import relax, tirx

from flextune.apply.memory_plan import Lifetime, plan_memory
from flextune.apply.program import ALIGNMENT_BYTES, Place, PlacedTensor, Port, Program, Step, TensorType, dlpack_type
from flextune.apply.signature import Signature
from flextune.graph.calls import is_call_tir, is_constant

HUGE_PAGE_BYTES = 1 << 21
VIEWS = ("relax.reshape", "relax.expand_dims", "relax.squeeze", "relax.flatten")
"""Operators that leave the order of elements in memory as it is."""


@dataclass(frozen=True, slots=True, eq=False)
class StaticModel:
    """A program, its kernels as PrimFuncs, and its weights as one block of bytes."""

    program: Program
    kernels: Any
    weights: np.ndarray


def static_model(module: tvm.IRModule, signature: Signature) -> StaticModel | None:
    """The model in static form, or None when it has none (control flow, symbolic shapes, calls into a runtime)."""
    reader = _Reader(module)
    try:
        reader.read(signature)
    except _NotStatic:
        return None
    program, weights = reader.finish(signature)
    functions = {
        variable: function.with_attr("global_symbol", variable.name_hint)
        for variable, function in module.functions_items()
        if isinstance(function, tirx.PrimFunc) and variable.name_hint in program.kernels
    }
    return StaticModel(program, tvm.IRModule(functions), weights)


class _NotStatic(Exception):  # noqa: N818 - control flow inside this file
    """The model has no static form."""


@dataclass(slots=True, eq=False)
class _Buffer:
    """Memory that one or more tensors (views of each other) share."""

    nbytes: int
    place: Place | None = None
    offset: int = 0
    first: int = 0
    last: int = 0


@dataclass(slots=True, eq=False)
class _Reader:
    module: Any
    buffers: list[_Buffer] = field(default_factory=list)
    tensors: list[tuple[TensorType, _Buffer]] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    known: dict[Any, Any] = field(default_factory=dict)
    constants: list[tuple[_Buffer, Any]] = field(default_factory=list)
    results: list[int] = field(default_factory=list)

    def read(self, signature: Signature) -> None:
        """Follow `main` from its parameters to what it returns. Raises `_NotStatic`."""
        main = self.module["main"]
        if len(main.params) != len(signature.inputs):
            raise _NotStatic
        for index, parameter in enumerate(main.params):
            self.known[parameter] = self._tensor(_type_of(parameter.ty), place=Place.INPUT, offset=index)
        for block in main.body.blocks:
            for binding in block.bindings:
                self.known[binding.var] = self._bound(binding)
        returned = self._value(main.body.body)
        for index, tensor in enumerate(returned if isinstance(returned, tuple) else (returned,)):
            self.results.append(self._returned(tensor, index))

    def finish(self, signature: Signature) -> tuple[Program, np.ndarray]:
        """Places for all activations and weights; the weights copied into one block."""
        live = [buffer for buffer in self.buffers if buffer.place is None]
        plan = plan_memory([Lifetime(each.nbytes, each.first, each.last) for each in live], ALIGNMENT_BYTES)
        for buffer, offset in zip(live, plan.offsets, strict=True):
            buffer.place, buffer.offset = Place.ACTIVATION, offset
        weights = self._weights()
        tensors = tuple(PlacedTensor(kind, buffer.place or Place.INPUT, buffer.offset) for kind, buffer in self.tensors)
        inputs = tuple(Port(spec.name, index) for index, spec in enumerate(signature.inputs))
        outputs = tuple(Port(spec.name, tensor) for spec, tensor in zip(signature.outputs, self.results, strict=True))
        return Program(tensors, tuple(self.steps), inputs, outputs, weights.size, plan.nbytes), weights

    def _weights(self) -> np.ndarray:
        size = 0
        for buffer, _ in self.constants:
            buffer.offset = size
            size += -(-buffer.nbytes // ALIGNMENT_BYTES) * ALIGNMENT_BYTES
        block = huge_block(size)
        for buffer, value in self.constants:
            ctypes.memmove(block.ctypes.data + buffer.offset, value.data_ptr(), buffer.nbytes)
        return block

    def _tensor(self, kind: TensorType, place: Place | None = None, offset: int = 0) -> int:
        buffer = _Buffer(kind.nbytes, place, offset, len(self.steps), len(self.steps))
        self.buffers.append(buffer)
        return self._view(kind, buffer)

    def _view(self, kind: TensorType, buffer: _Buffer) -> int:
        self.tensors.append((kind, buffer))
        return len(self.tensors) - 1

    def _bound(self, binding: Any) -> Any:
        value = binding.value
        if isinstance(binding, relax.MatchCast):
            return self._value(value)
        if is_call_tir(value):
            return self._call(value)
        if isinstance(value, tvm.ir.Call) and getattr(value.op, "name", "") in VIEWS:
            return self._same_bytes(self._value(value.args[0]), _type_of(binding.var.ty))
        return self._value(value)

    def _value(self, value: Any) -> Any:
        """The number of a tensor, or a tuple of such."""
        if isinstance(value, relax.Var):
            if value not in self.known:
                raise _NotStatic
            return self.known[value]
        if is_constant(value):
            return self._constant(value)
        if isinstance(value, relax.Tuple):
            return tuple(self._value(each) for each in value.fields)
        if isinstance(value, relax.TupleGetItem):
            whole = self._value(value.tuple_value)
            if isinstance(whole, tuple):
                return whole[int(value.index)]
        raise _NotStatic

    def _constant(self, value: Any) -> int:
        if value not in self.known:
            self.known[value] = self._tensor(_type_of(value.ty), place=Place.WEIGHT)
            self.constants.append((self.tensors[self.known[value]][1], value.value))
        return int(self.known[value])

    def _call(self, call: Any) -> Any:
        name = call.args[0].name_hint
        if len(call.args) > 2:
            raise _NotStatic
        arguments = [self._one(self._value(each)) for each in call.args[1].fields]
        wanted = call.ty_args[0]
        if self._is_reshape(name, arguments, wanted):
            return self._same_bytes(arguments[0], _type_of(wanted))
        kinds = wanted.fields if isinstance(wanted, relax.TupleType) else [wanted]
        outputs = tuple(self._tensor(_type_of(kind)) for kind in kinds)
        self._step(Step(name, (*arguments, *outputs)))
        return outputs if isinstance(wanted, relax.TupleType) else outputs[0]

    def _is_reshape(self, name: str, arguments: Sequence[int], wanted: Any) -> bool:
        """Whether the kernel copies its one argument, all of it, in order. TVM's analysis takes slices for that too."""
        if len(arguments) != 1 or isinstance(wanted, relax.TupleType):
            return False
        same_size = self.tensors[arguments[0]][0].nbytes == _type_of(wanted).nbytes
        return same_size and bool(relax.analysis.has_reshape_pattern(self.module[name]))

    def _step(self, step: Step) -> None:
        for argument in step.arguments:
            self.tensors[argument][1].last = len(self.steps)
        self.steps.append(step)

    def _same_bytes(self, tensor: Any, kind: TensorType) -> int:
        buffer = self.tensors[self._one(tensor)][1]
        if buffer.nbytes != kind.nbytes:
            raise _NotStatic
        return self._view(kind, buffer)

    def _returned(self, tensor: Any, index: int) -> int:
        """The tensor written straight into the caller's memory, or copied there at the end where that cannot be."""
        kind, buffer = self.tensors[self._one(tensor)]
        if buffer.place is None:
            buffer.place, buffer.offset = Place.OUTPUT, index
            return int(tensor)
        copy = self._tensor(kind, place=Place.OUTPUT, offset=index)
        self._step(Step(None, (int(tensor), copy)))
        return copy

    @staticmethod
    def _one(value: Any) -> int:
        if isinstance(value, tuple):
            raise _NotStatic
        return int(value)


def huge_block(nbytes: int) -> np.ndarray:
    """Zeroed bytes on huge pages (where the system has them), at a multiple of `HUGE_PAGE_BYTES`."""
    if nbytes == 0:
        return np.zeros(0, np.uint8)
    mapped = mmap.mmap(-1, nbytes + HUGE_PAGE_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        mapped.madvise(mmap.MADV_HUGEPAGE)
    block: np.ndarray = np.frombuffer(mapped, np.uint8)
    begin = -block.ctypes.data % HUGE_PAGE_BYTES
    return block[begin : begin + nbytes]


def _type_of(kind: Any) -> TensorType:
    if not isinstance(kind, relax.TensorType) or kind.shape is None:
        raise _NotStatic
    sizes: Sequence[Any] = list(kind.shape)
    if not all(isinstance(size, int | tirx.IntImm) for size in sizes):
        raise _NotStatic
    try:
        dlpack_type(str(kind.dtype))
    except (KeyError, TypeError):
        raise _NotStatic from None
    return TensorType(tuple(int(size) for size in sizes), str(kind.dtype))
