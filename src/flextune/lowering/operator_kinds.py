"""What an operator is to fusion: how each element of its output depends on its inputs."""

from __future__ import annotations

from enum import IntEnum

import tvm

from flextune.tvm_types import RelaxExpr


class Kind(IntEnum):
    """From the freest to the least free; TVM's `OpPatternKind` has the same order.

    `ELEMENTWISE` reads each input at the output's own position (broadcast inputs included), `INJECTIVE` at some other
    one, `REDUCTION` reads a row or a window, `CONTRACTION` is a product sum over reused inputs. `CONCAT` joins its
    inputs, `VIEW` changes nothing but the shape, `OPAQUE` is for all others.
    """

    ELEMENTWISE = 0
    INJECTIVE = 2
    REDUCTION = 3
    CONTRACTION = 4
    CONCAT = 5
    VIEW = 7
    OPAQUE = 8


_ELEMENTWISE = """
abs acos acosh add asin asinh astype atan atan2 atanh bitwise_and bitwise_not bitwise_or bitwise_xor ceil clip cos cosh
divide equal erf exp floor floor_divide floor_mod greater greater_equal isfinite isinf isnan less less_equal log
logical_and logical_not logical_or logical_xor maximum minimum mod multiply negative nn.gelu nn.gelu_tanh nn.leakyrelu
nn.relu nn.selu nn.silu nn.softplus not_equal power round rsqrt sigmoid sign sin sinh sqrt square subtract tan tanh
trunc where
"""
_INJECTIVE = """
broadcast_to flip nn.pad nn.pixel_shuffle permute_dims repeat strided_slice take tile
"""
_REDUCTION = """
max mean min nn.adaptive_avg_pool2d nn.avg_pool1d nn.avg_pool2d nn.avg_pool3d nn.layer_norm nn.log_softmax
nn.max_pool1d nn.max_pool2d nn.max_pool3d nn.rms_norm nn.softmax prod std sum variance
"""
_CONTRACTION = """
matmul nn.conv1d nn.conv1d_transpose nn.conv2d nn.conv2d_transpose nn.conv3d nn.conv3d_transpose
"""
_VIEW = "expand_dims flatten nn.batch_flatten reshape squeeze"

_KINDS = {
    name: kind
    for kind, names in (
        (Kind.ELEMENTWISE, _ELEMENTWISE),
        (Kind.INJECTIVE, _INJECTIVE),
        (Kind.REDUCTION, _REDUCTION),
        (Kind.CONTRACTION, _CONTRACTION),
        (Kind.VIEW, _VIEW),
        (Kind.CONCAT, "concat"),
    )
    for name in names.split()
}

_TVM_KINDS = {
    0: Kind.ELEMENTWISE,
    1: Kind.ELEMENTWISE,
    2: Kind.INJECTIVE,
    3: Kind.REDUCTION,
    4: Kind.CONTRACTION,
}
"""TVM's `op_pattern` of a PrimFunc; element-wise and broadcast are one kind here."""


def kind_of(value: RelaxExpr, module: tvm.IRModule) -> Kind:
    """The kind of a bound Relax expression; of a `call_tir` by the `op_pattern` of the function it calls."""
    if not isinstance(value, tvm.ir.Call):
        return Kind.OPAQUE
    name = operator_name(value)
    if name != "call_tir":
        return _KINDS.get(name, Kind.OPAQUE)
    attributes = module[value.args[0]].attrs
    if attributes is None or "op_pattern" not in attributes:
        return Kind.OPAQUE
    return _TVM_KINDS.get(int(attributes["op_pattern"]), Kind.OPAQUE)


def operator_name(value: RelaxExpr) -> str:
    """`nn.conv2d` for a call of `relax.nn.conv2d`; empty for what is no call of an operator."""
    return str(getattr(getattr(value, "op", None), "name", "")).removeprefix("relax.")
