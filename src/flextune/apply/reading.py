"""Reading Relax `main` over PrimFuncs as straight-line code."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import tvm
from tvm import relax, tirx

from flextune.analysis.sizes_of_shapes import size_of, variables_in
from flextune.apply.program import Place, Scalar, Size, Step, TensorType, dlpack_type
from flextune.apply.regions import Body, add_branch, add_loop
from flextune.apply.straight_line import Buffer, StraightLine
from flextune.importing.values import ValueSpec
from flextune.lowering.calls import is_call_tir, is_constant
from flextune.lowering.kernel_operators import operators_in_name
from flextune.lowering.regions import bodies_of, form_of, region_of

VIEWS = ("relax.reshape", "relax.expand_dims", "relax.squeeze", "relax.flatten")
"""Operators that leave the order of elements in memory as it is."""


def read_straight_line(module: tvm.IRModule, inputs: Sequence[ValueSpec]) -> StraightLine | None:
    """The model's `main`; None where it has shapes that its inputs do not tell, or calls into a runtime."""
    functions = {
        variable.name_hint: function
        for variable, function in module.functions_items()
        if isinstance(function, tirx.PrimFunc)
    }
    reader = _Reader(module, StraightLine(functions, any(spec.sizes for spec in inputs)))
    try:
        reader.read(inputs)
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
    sizes: dict[Any, Size] = field(default_factory=dict)
    """Of TVM's variables for sizes."""

    def read(self, inputs: Sequence[ValueSpec]) -> None:
        """Follow `main` from its parameters to what it returns. Raises `_NotStatic`."""
        main = self.module["main"]
        if len(main.params) != len(inputs):
            raise _NotStatic
        for spec, parameter in zip(inputs, main.params, strict=True):
            self._name_sizes(parameter.ty, spec.axis_sizes)
        for index, parameter in enumerate(main.params):
            self.known[parameter] = self._tensor(self._type_of(parameter.ty), Place.INPUT, index)
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
        return self.code.add_tensor(kind, Buffer(kind.byte_count, place, port))

    def _name_sizes(self, kind: Any, sizes: Sequence[Size]) -> None:
        """Learn what variables in a tensor's type are, from what its sizes are known to be."""
        declared = _declared_sizes(kind)
        if len(declared) != len(sizes):
            raise _NotStatic
        self.sizes = {**variables_in(kind, sizes), **self.sizes}

    def _type_of(self, kind: Any) -> TensorType:
        sizes = [size_of(each, self.sizes) for each in _declared_sizes(kind)]
        shape = tuple(size for size in sizes if size is not None)
        if len(shape) != len(sizes):
            raise _NotStatic
        try:
            dlpack_type(str(kind.dtype))
        except (KeyError, TypeError):
            raise _NotStatic from None
        return TensorType(shape, str(kind.dtype))

    def _bound(self, binding: Any) -> Any:
        value = binding.value
        if isinstance(binding, relax.MatchCast):
            return self._cast(binding)
        if is_call_tir(value):
            return self._call(value)
        if (name := region_of(value)) is not None:
            return self._region(name, value)
        if isinstance(value, tvm.ir.Call) and getattr(value.op, "name", "") == "relax.shape_to_tensor":
            return self._sizes(value.args[0], self._type_of(binding.var.ty))
        if isinstance(value, tvm.ir.Call) and getattr(value.op, "name", "") in VIEWS:
            return self._same_bytes(self._value(value.args[0]), self._type_of(binding.var.ty))
        return self._value(value)

    def _sizes(self, shape: Any, kind: TensorType) -> int:
        """A tensor of sizes, which is filled in for each combination of them."""
        if not isinstance(shape, relax.ShapeExpr):
            raise _NotStatic
        sizes = [size_of(each, self.sizes) for each in shape.values]
        known = tuple(size for size in sizes if size is not None)
        if len(known) < len(sizes):
            raise _NotStatic
        tensor = self._tensor(kind, Place.SIZES)
        self.code.elements.append((self.code.tensors[tensor][1], known))
        return tensor

    def _cast(self, binding: Any) -> Any:
        """The same value, whose sizes have other names from here on."""
        value = self._value(binding.value)
        if not isinstance(value, int) or not isinstance(binding.var.ty, relax.TensorType):
            return value
        kind = self.code.tensors[value][0]
        self._name_sizes(binding.var.ty, kind.shape)
        return (
            value if self._type_of(binding.var.ty) == kind else self._same_bytes(value, self._type_of(binding.var.ty))
        )

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
            self.known[value] = self._tensor(self._type_of(value.ty), Place.WEIGHT)
            self.code.constants.append((self.code.tensors[self.known[value]][1], value.value))
        return int(self.known[value])

    def _call(self, call: Any) -> Any:
        name = call.args[0].name_hint
        if len(call.args) > 2:
            raise _NotStatic
        scalars = tuple(self._scalars(call.args[1].fields))
        positions = {scalar.position for scalar in scalars}
        tensors = [each for position, each in enumerate(call.args[1].fields) if position not in positions]
        arguments = [self._one(self._value(each)) for each in tensors]
        wanted = call.ty_args[0]
        if self._is_reshape(name, arguments, wanted):
            return self._same_bytes(arguments[0], self._type_of(wanted))
        kinds = wanted.fields if isinstance(wanted, relax.TupleType) else [wanted]
        outputs = tuple(self._tensor(self._type_of(kind)) for kind in kinds)
        self.code.steps.append(Step(name, (*arguments, *outputs), scalars=scalars))
        return outputs if isinstance(wanted, relax.TupleType) else outputs[0]

    def _scalars(self, given: Sequence[Any]) -> Iterator[Scalar]:
        """The sizes that a kernel takes beside tensors."""
        for position, value in enumerate(given):
            if isinstance(value.ty, tvm.ir.PrimType):
                size = size_of(value, self.sizes)
                if size is None or str(value.ty) != "int64":
                    raise _NotStatic
                yield Scalar(position, size)

    def _region(self, name: str, call: Any) -> Any:
        """A loop or a branch, with all that is in it."""
        arguments = [self._one(self._value(each)) for each in call.args[1].fields]
        wanted = call.ty_args[0]
        kinds = [self._type_of(kind) for kind in (wanted.fields if isinstance(wanted, relax.TupleType) else [wanted])]
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
            for variable, tensor in zip(function.params, parameters, strict=True):
                self._name_sizes(variable.ty, self.code.tensors[tensor][0].shape)
            return self._results(function.body)

        return add

    def _is_reshape(self, name: str, arguments: Sequence[int], wanted: Any) -> bool:
        """Whether a kernel only copies all of its one argument, in order. TVM's analysis also takes slices for that.

        Of sizes that are known only in a run it need not show that a reshape suits them; then the run checks it.
        """
        if len(arguments) != 1 or isinstance(wanted, relax.TupleType):
            return False
        given, made = self.code.tensors[arguments[0]][0].byte_count, self._type_of(wanted).byte_count
        is_known = isinstance(given, int) and isinstance(made, int)
        if given != made and is_known:
            return False
        if operators_in_name(name.removesuffix("_scheduled")) == "reshape" and not is_known:
            return True
        return given == made and bool(relax.analysis.has_reshape_pattern(self.module[name]))

    def _same_bytes(self, tensor: Any, kind: TensorType) -> int:
        buffer = self.code.tensors[self._one(tensor)][1]
        if buffer.byte_count != kind.byte_count:
            if isinstance(buffer.byte_count, int) and isinstance(kind.byte_count, int):
                raise _NotStatic
            self.code.equal.append((buffer.byte_count, kind.byte_count))
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


def _declared_sizes(kind: Any) -> list[Any]:
    if not isinstance(kind, relax.TensorType) or kind.shape is None:
        raise _NotStatic
    return list(kind.shape)
