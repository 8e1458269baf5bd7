"""Reading Relax `main` over PrimFuncs as straight-line code: steps on tensors, and the buffers that hold these."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import tvm
from tvm import relax, tirx

from flextune.apply.program import Place, Step, TensorType, dlpack_type
from flextune.lowering.calls import is_call_tir, is_constant

VIEWS = ("relax.reshape", "relax.expand_dims", "relax.squeeze", "relax.flatten")
"""Operators that leave the order of elements in memory as it is."""


@dataclass(slots=True, eq=False)
class Buffer:
    """Memory that one or more tensors of equal size share.

    A buffer without a place is an activation; `port` is the number of an input or output.
    """

    nbytes: int
    place: Place | None = None
    port: int = 0


@dataclass(slots=True, eq=False)
class StraightLine:
    """A model as straight-line code."""

    functions: Mapping[str, Any]
    """TIR functions by the names that steps call."""
    tensors: list[tuple[TensorType, Buffer]] = field(default_factory=list)
    """Every tensor's type, and the buffer it lies in."""
    steps: list[Step] = field(default_factory=list)
    """Calls in order."""
    constants: list[tuple[Buffer, Any]] = field(default_factory=list)
    """Buffers of weights, and their values."""
    results: list[int] = field(default_factory=list)
    """The numbers of the tensors that are the model's outputs."""

    def add_tensor(self, kind: TensorType, buffer: Buffer) -> int:
        """The number of a new tensor."""
        self.tensors.append((kind, buffer))
        return len(self.tensors) - 1


def read_straight_line(module: tvm.IRModule, input_count: int) -> StraightLine | None:
    """The model's `main`; None where it branches, has shapes that are not static, or calls into a runtime."""
    functions = {
        variable.name_hint: function
        for variable, function in module.functions_items()
        if isinstance(function, tirx.PrimFunc)
    }
    reader = _Reader(module, StraightLine(functions))
    try:
        reader.read(input_count)
    except _NotStatic:
        return None
    return reader.code


class _NotStatic(Exception):  # noqa: N818 - control flow inside this file
    """The model has no static form."""


@dataclass(slots=True, eq=False)
class _Reader:
    module: Any
    code: StraightLine
    known: dict[Any, Any] = field(default_factory=dict)

    def read(self, input_count: int) -> None:
        """Follow `main` from its parameters to what it returns. Raises `_NotStatic`."""
        main = self.module["main"]
        if len(main.params) != input_count:
            raise _NotStatic
        for index, parameter in enumerate(main.params):
            self.known[parameter] = self._tensor(_type_of(parameter.ty), Place.INPUT, index)
        for block in main.body.blocks:
            for binding in block.bindings:
                self.known[binding.var] = self._bound(binding)
        returned = self._value(main.body.body)
        for index, tensor in enumerate(returned if isinstance(returned, tuple) else (returned,)):
            self.code.results.append(self._returned(tensor, index))

    def _tensor(self, kind: TensorType, place: Place | None = None, port: int = 0) -> int:
        return self.code.add_tensor(kind, Buffer(kind.nbytes, place, port))

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
            self.known[value] = self._tensor(_type_of(value.ty), Place.WEIGHT)
            self.code.constants.append((self.code.tensors[self.known[value]][1], value.value))
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
        self.code.steps.append(Step(name, (*arguments, *outputs)))
        return outputs if isinstance(wanted, relax.TupleType) else outputs[0]

    def _is_reshape(self, name: str, arguments: Sequence[int], wanted: Any) -> bool:
        """Whether a kernel only copies all of its one argument, in order. TVM's analysis also takes slices for that."""
        if len(arguments) != 1 or isinstance(wanted, relax.TupleType):
            return False
        same_size = self.code.tensors[arguments[0]][0].nbytes == _type_of(wanted).nbytes
        return same_size and bool(relax.analysis.has_reshape_pattern(self.module[name]))

    def _same_bytes(self, tensor: Any, kind: TensorType) -> int:
        buffer = self.code.tensors[self._one(tensor)][1]
        if buffer.nbytes != kind.nbytes:
            raise _NotStatic
        return self.code.add_tensor(kind, buffer)

    def _returned(self, tensor: Any, index: int) -> int:
        """The tensor written straight into the caller's memory, or copied there at the end where that cannot be."""
        kind, buffer = self.code.tensors[self._one(tensor)]
        if buffer.place is None:
            buffer.place, buffer.port = Place.OUTPUT, index
            return int(tensor)
        copy = self._tensor(kind, Place.OUTPUT, index)
        self.code.steps.append(Step(None, (int(tensor), copy)))
        return copy

    @staticmethod
    def _one(value: Any) -> int:
        if isinstance(value, tuple):
            raise _NotStatic
        return int(value)


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
