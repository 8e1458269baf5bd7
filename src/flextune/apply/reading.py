"""Reading Relax `main` over PrimFuncs as straight-line code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import tvm
from tvm import relax, tirx

from flextune.apply.program import Place, Step, TensorType, dlpack_type
from flextune.apply.regions import Body, add_branch, add_loop
from flextune.apply.straight_line import Buffer, StraightLine
from flextune.lowering.calls import is_call_tir, is_constant
from flextune.lowering.regions import bodies_of, form_of, region_of

VIEWS = ("relax.reshape", "relax.expand_dims", "relax.squeeze", "relax.flatten")
"""Operators that leave the order of elements in memory as it is."""


def read_straight_line(module: tvm.IRModule, input_count: int) -> StraightLine | None:
    """The model's `main`; None where it has shapes that are not static, or calls into a runtime."""
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
        for index, tensor in enumerate(self._results(main.body)):
            self.code.results.append(self._returned(tensor, index))

    def _results(self, body: Any) -> tuple[int, ...]:
        """What a function's body returns, its code added."""
        for block in body.blocks:
            for binding in block.bindings:
                self.known[binding.var] = self._bound(binding)
        returned = self._value(body.body)
        return tuple(map(self._one, returned if isinstance(returned, tuple) else (returned,)))

    def _tensor(self, kind: TensorType, place: Place | None = None, port: int = 0) -> int:
        return self.code.add_tensor(kind, Buffer(kind.nbytes, place, port))

    def _bound(self, binding: Any) -> Any:
        value = binding.value
        if isinstance(binding, relax.MatchCast):
            return self._value(value)
        if is_call_tir(value):
            return self._call(value)
        if (name := region_of(value)) is not None:
            return self._region(name, value)
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

    def _region(self, name: str, call: Any) -> Any:
        """A loop or a branch, with all that is in it."""
        arguments = [self._one(self._value(each)) for each in call.args[1].fields]
        wanted = call.ty_args[0]
        kinds = [_type_of(kind) for kind in (wanted.fields if isinstance(wanted, relax.TupleType) else [wanted])]
        bodies = [self._body(body) for body in bodies_of(self.module, name)]
        form = form_of(self.module, name)
        if form is not None:
            results = add_loop(self.code, form, arguments, bodies[0])
        else:
            results = add_branch(self.code, arguments, kinds, (bodies[0], bodies[1]))
        return tuple(results) if isinstance(wanted, relax.TupleType) else results[0]

    def _body(self, name: str) -> Body:
        function = self.module[name]

        def add(parameters: Sequence[int]) -> tuple[int, ...]:
            self.known.update(zip(function.params, parameters, strict=True))
            return self._results(function.body)

        return add

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

    def _returned(self, tensor: int, index: int) -> int:
        """The tensor written straight into the caller's memory, or copied there at the end where that cannot be."""
        kind, buffer = self.code.tensors[tensor]
        if buffer.place is None:
            buffer.place, buffer.port = Place.OUTPUT, index
            return tensor
        copy = self._tensor(kind, Place.OUTPUT, index)
        self.code.steps.append(Step(None, (tensor, copy)))
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
