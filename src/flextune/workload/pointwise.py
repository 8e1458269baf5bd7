"""Element-wise operations: epilogues of contractions and links of element-wise chains."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from flextune.tvm_types import Expression, Tensor
from flextune.workload.element_type import ElementType
from flextune.workload.tensor import TensorSpec

if TYPE_CHECKING:
    from flextune.workload.tensor_builder import TensorBuilder

Operand = Literal["none", "channel", "same"]
Build = Callable[["TensorBuilder", Expression, Expression], Expression]
Compute = Callable[[np.ndarray, np.ndarray], np.ndarray]
_SLICE = 1 << 20


@dataclass(frozen=True, slots=True)
class Pointwise:
    """One operation on each element `x`, with a second operand `y` of the same shape, one per channel, or none.

    `flops` are the additions, multiplications, comparisons and function calls per element.
    """

    name: str
    """In texts of workloads."""
    build: Build
    """The operation as an expression of TVM's."""
    compute: Compute
    """The operation in NumPy."""
    operand: Operand = "none"
    flops: int = 1
    integers: bool = False
    """Whether it is for integers too."""


def _erf(values: np.ndarray) -> np.ndarray:
    """The error function of the C library, in slices that bound the memory."""
    flat = values.reshape(-1)
    out = np.empty(flat.shape, dtype=np.float64)
    for start in range(0, flat.size, _SLICE):
        piece = flat[start : start + _SLICE]
        out[start : start + _SLICE] = np.fromiter(map(math.erf, piece.tolist()), np.float64, piece.size)
    return out.reshape(values.shape)


def _gelu(x: np.ndarray) -> np.ndarray:
    return (0.5 * x * (1.0 + _erf(x * math.sqrt(0.5)))).astype(x.dtype)


def _gelu_tanh(x: np.ndarray) -> np.ndarray:
    wide = x.astype(np.float64)
    inner = math.sqrt(2 / math.pi) * (wide + 0.044715 * wide**3)
    return (0.5 * wide * (1.0 + np.tanh(inner))).astype(x.dtype)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return (0.5 * (1.0 + np.tanh(0.5 * x.astype(np.float64)))).astype(x.dtype)


def _build_gelu(b: TensorBuilder, x: Expression, _: Expression) -> Expression:
    half, one, scale = b.constant(0.5), b.constant(1.0), b.constant(math.sqrt(0.5))
    return half * x * (one + b.erf(x * scale))


def _build_gelu_tanh(b: TensorBuilder, x: Expression, _: Expression) -> Expression:
    inner = b.constant(math.sqrt(2 / math.pi)) * (x + b.constant(0.044715) * x * x * x)
    return b.constant(0.5) * x * (b.constant(1.0) + b.tanh(inner))


POINTWISE = {
    op.name: op
    for op in (
        Pointwise("bias", lambda _, x, y: x + y, lambda x, y: x + y, "channel", integers=True),
        Pointwise("add", lambda _, x, y: x + y, lambda x, y: x + y, "same"),
        Pointwise("sub", lambda _, x, y: x - y, lambda x, y: x - y, "same"),
        Pointwise("mul", lambda _, x, y: x * y, lambda x, y: x * y, "same"),
        Pointwise(
            "relu",
            lambda b, x, _: b.maximum(x, b.zero_of(x)),
            lambda x, _: np.maximum(x, 0),
            integers=True,
        ),
        Pointwise(
            "relu6",
            lambda b, x, _: b.minimum(b.maximum(x, b.constant(0)), b.constant(6)),
            lambda x, _: np.clip(x, 0, 6),
            flops=2,
        ),
        Pointwise(
            "sigmoid",
            lambda b, x, _: b.constant(1) / (b.constant(1) + b.exp(b.constant(0) - x)),
            lambda x, _: _sigmoid(x),
            flops=4,
        ),
        Pointwise("tanh", lambda b, x, _: b.tanh(x), lambda x, _: np.tanh(x)),
        Pointwise("exp", lambda b, x, _: b.exp(x), lambda x, _: np.exp(x)),
        Pointwise("gelu", _build_gelu, lambda x, _: _gelu(x), flops=5),
        Pointwise("gelu_tanh", _build_gelu_tanh, lambda x, _: _gelu_tanh(x), flops=9),
    )
}
EPILOGUES = ("bias", "add", "relu", "relu6", "gelu", "gelu_tanh", "sigmoid", "tanh")
CHAIN_LINKS = ("add", "sub", "mul", "relu", "relu6", "gelu", "gelu_tanh", "sigmoid", "tanh", "exp")


def stage_names(chain: Sequence[str]) -> tuple[str, ...]:
    """A name for each link's block, unique also where a link occurs twice: `add`, `relu`, `add_2`."""
    seen: dict[str, int] = {}
    names = []
    for word in chain:
        seen[word] = seen.get(word, 0) + 1
        names.append(word if seen[word] == 1 else f"{word}_{seen[word]}")
    return tuple(names)


def operand_specs(
    chain: Sequence[str],
    shape: tuple[int, ...],
    channel_axis: int,
    element: ElementType,
    *,
    constant_bias: bool = False,
) -> tuple[TensorSpec, ...]:
    """The second operands that a chain reads, in order; the residual of an `add` link is called `residual`."""
    specs = []
    for word, stage in zip(chain, stage_names(chain), strict=True):
        operand = POINTWISE[word].operand
        if operand == "channel":
            specs.append(TensorSpec(f"{stage}_values", (shape[channel_axis],), element, constant_bias))
        elif operand == "same":
            specs.append(TensorSpec(f"{stage}_values", shape, element))
    return tuple(specs)


def build_chain(
    build: TensorBuilder,
    value: Tensor,
    chain: Sequence[str],
    operands: Sequence[Tensor],
    channel_axis: int,
    axes: Sequence[str] = (),
) -> Tensor:
    """One block per link over the index space of `value`, with loops named `axes`."""
    shape = build.shape(value)
    rest = iter(operands)
    for word, stage in zip(chain, stage_names(chain), strict=True):
        link = POINTWISE[word]
        operand = None if link.operand == "none" else next(rest)
        value = build.compute(shape, _link_element(build, link, value, operand, channel_axis), stage, axes)
    return value


def _link_element(
    build: TensorBuilder, link: Pointwise, value: Tensor, operand: Tensor, channel_axis: int
) -> Callable[..., Expression]:
    def element(*index: Expression) -> Expression:
        if operand is None:
            return link.build(build, value(*index), None)
        return link.build(build, value(*index), operand[index[channel_axis] if link.operand == "channel" else index])

    return element


def compute_chain(
    value: np.ndarray, chain: Sequence[str], operands: Sequence[np.ndarray], channel_axis: int
) -> np.ndarray:
    """The NumPy counterpart of `build_chain`."""
    rest = iter(operands)
    nothing = np.empty(0)
    for word in chain:
        link = POINTWISE[word]
        operand = nothing if link.operand == "none" else next(rest)
        if link.operand == "channel":
            operand = operand.reshape([-1 if axis == channel_axis else 1 for axis in range(value.ndim)])
        value = link.compute(value, operand)
    return value


def chain_flops(chain: Sequence[str], elements: int) -> int:
    return elements * sum(POINTWISE[word].flops for word in chain)
