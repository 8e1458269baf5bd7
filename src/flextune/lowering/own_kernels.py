"""Kernels of our own for nodes that no operator stands for (`flextune.importing.kernels`), by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import onnx
from tvm import relax, te, tirx

from flextune.lowering.elimination import determinants
from flextune.lowering.narrow_floats import FORMATS, code_of_float, code_of_power
from flextune.lowering.roi_align import roi_align_max
from flextune.tvm_types import Expression, RelaxBuilder, RelaxExpr, RelaxType, Tensor

Attributes = Mapping[str, int | float | str]
Compute = Callable[[Sequence[Tensor], Attributes, tuple[int, ...], str], Tensor]
"""Inputs, attributes, and shape and element type of the result -> the result."""

ELEMENTWISE, OPAQUE = 0, 8
"""TVM's `op_pattern`: what reads each element where it writes one, and what nothing is known of."""


@dataclass(frozen=True, slots=True)
class OwnKernel:
    compute: Compute
    pattern: int = OPAQUE


def kernel_call(builder: RelaxBuilder, node: onnx.NodeProto, arguments: list[RelaxExpr], kind: RelaxType) -> RelaxExpr:
    """The call of the kernel that a node stands for; its result has the type `kind`."""
    kernel = KERNELS[node.op_type]
    attributes = {entry.name: _plain(onnx.helper.get_attribute_value(entry)) for entry in node.attribute}
    tensors = [
        te.placeholder(tuple(argument.ty.shape), str(argument.ty.dtype), name=f"x{place}")
        for place, argument in enumerate(arguments)
    ]
    shape = tuple(int(size) for size in kind.shape)
    result = kernel.compute(tensors, attributes, shape, str(kind.dtype))
    function = te.create_prim_func([*tensors, result]).with_attr("op_pattern", kernel.pattern)
    variable = builder.add_func(function.without_attr("global_symbol"), node.op_type)
    return relax.call_tir(variable, arguments, out_ty=kind)


def _plain(value: object) -> int | float | str:
    return value.decode() if isinstance(value, bytes) else value  # type: ignore[return-value]


def _elementwise(name: str, element: Callable[[Expression, Attributes], Expression]) -> OwnKernel:
    def compute(tensors: Sequence[Tensor], attributes: Attributes, shape: tuple[int, ...], dtype: str) -> Tensor:
        return te.compute(shape, lambda *index: element(tensors[0](*index), attributes).astype(dtype), name=name)

    return OwnKernel(compute, ELEMENTWISE)


def _rounding(name: str) -> OwnKernel:
    def element(value: Expression, attributes: Attributes) -> Expression:
        return code_of_float(value, FORMATS[name], bool(attributes["saturate"]))

    return _elementwise(f"round_to_{name}", element)


def _bit_cast(tensors: Sequence[Tensor], attributes: Attributes, shape: tuple[int, ...], dtype: str) -> Tensor:
    del attributes
    return te.compute(shape, lambda *index: tirx.reinterpret(dtype, tensors[0](*index)), name="bit_cast")


KERNELS: Mapping[str, OwnKernel] = {
    **{f"round_to_{name}": _rounding(name) for name in FORMATS},
    "bit_cast": OwnKernel(_bit_cast, ELEMENTWISE),
    "determinant": OwnKernel(determinants),
    "roi_align_max": OwnKernel(roi_align_max),
    "round_to_float8_e8m0fnu": _elementwise(
        "round_to_float8_e8m0fnu",
        lambda value, attributes: code_of_power(value, str(attributes["round_mode"]), bool(attributes["saturate"])),
    ),
}
