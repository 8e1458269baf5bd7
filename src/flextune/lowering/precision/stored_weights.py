"""Weights that stay in few bits: widened in the kernel of the product that reads them, where reading is what it costs.

before:  y = matmul(x, reshape(dequantize(const q: int8, const s, const z)))
after:   y = stored_product(x, const q', const s): y[j] = sum over b and k of x[b, k] * (q'[b, k, j] + c) * s[b, j]

A product with a few rows reads every weight once or a few times, so it is as fast as memory gives them. Numbers of
four bits lie eight in a word, neighbours along the sum. Blocks b of the sum have a scale for each column. Weights that
16-bit floats hold exactly (of models in float16 and bfloat16) are kept as these.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import tvm
from tvm import relax, te, tirx

from flextune.lowering.calls import constant_array, is_constant
from flextune.lowering.mutation import bound_value, mutated
from flextune.lowering.operator_kinds import operator_name
from flextune.lowering.precision.bfloat16 import to_bfloat16, widened
from flextune.tvm_types import Expression, RelaxCall, RelaxExpr, Tensor
from flextune.workload.element_type import BFLOAT16

STORED_PRODUCT = "stored_product"
"""Begins the names of kernels that widen their weights."""

MOST_ROWS = 32
"""With more rows than these a product computes more than it reads, and widening would cost it."""
LEAST_ELEMENTS = 1 << 14
"""Of weights: fewer are in a cache in any form."""

LEAST_BLOCK = 8
"""Weights that share a scale: with fewer, the scales are as large as what they save."""

_CONTRACTION = 4
"""TVM's `op_pattern` of products."""
_MOVES = frozenset({"permute_dims", "reshape", "expand_dims", "squeeze", "flatten"})
_BYTE_SHIFT, _MOST_BYTE = 128, 127
_NIBBLES, _MOST_NIBBLE, _NIBBLE_UNIT = 8, 15, 16
"""Numbers of four bits in a word, the largest of them, and what one is a fraction of in `_nibble`."""
_FRACTION = 19
"""The lowest of the four highest bits of a float32's fraction."""


def keep_quantized_weights(module: tvm.IRModule) -> tvm.IRModule:
    """Let products of a few rows read quantised weights as they are stored (see the module text)."""
    return relax.transform.DeadCodeElimination(["main"])(mutated(module, _Quantized(module)))


def keep_half_weights(module: tvm.IRModule) -> tvm.IRModule:
    """Let products of a few rows read weights as 16-bit floats where these hold them exactly."""
    return mutated(module, _Halves(module))


@dataclass(frozen=True, slots=True, eq=False)
class _Blocks:
    """Weights [inputs, columns] as integers less a zero point, times a scale, for each block of the inputs."""

    values: np.ndarray
    """[inputs, columns], of the file's integers, in int32."""
    scales: np.ndarray
    """[blocks, columns] of float32."""
    zero_points: np.ndarray
    """[blocks, columns] of float32."""

    @property
    def size(self) -> int:
        """Inputs of one block."""
        return int(self.values.shape[0] // self.scales.shape[0])


def _is_small_product(call: RelaxCall) -> bool:
    """Whether a call is a product of few rows with weights worth storing."""
    if operator_name(call) != "matmul" or str(call.ty.dtype) != "float32":
        return False
    shapes = [list(argument.ty.shape) for argument in call.args]
    if not all(isinstance(size, tirx.IntImm) for shape in shapes for size in shape) or len(shapes[1]) != 2:
        return False
    rows = math.prod(int(size) for size in shapes[0][:-1])
    return rows <= MOST_ROWS and math.prod(int(size) for size in shapes[1]) >= LEAST_ELEMENTS


@relax.expr_functor.mutator
class _Quantized(relax.PyExprMutator):  # type: ignore[misc]
    def visit_call_(self, call: RelaxCall) -> RelaxExpr:
        call = self.visit_expr_post_order(call)
        blocks = self._blocks(call.args[1]) if _is_small_product(call) else None
        if blocks is None or blocks.size < LEAST_BLOCK:
            return call
        if blocks.scales.shape[0] > 1:
            return self._of_blocks(call.args[0], blocks)
        plain = _Blocks(blocks.values, np.ones_like(blocks.scales), blocks.zero_points)
        product = self.builder_.emit(self._of_blocks(call.args[0], plain))
        unit = _NIBBLE_UNIT if _fits_nibbles(blocks) else 1
        return relax.op.multiply(product, relax.const(blocks.scales[0] * np.float32(unit)))

    def _of_blocks(self, data: RelaxExpr, blocks: _Blocks) -> RelaxExpr:
        """The product with weights of bytes, or of eight to a word."""
        packs, most = _fits_nibbles(blocks), int(blocks.values.max())
        base = int(blocks.values.min()) if packs else (_BYTE_SHIFT if most > _MOST_BYTE else 0)
        stored = blocks.values - base
        count, columns = blocks.scales.shape
        weights = _packed_nibbles(stored, count) if packs else stored.astype(np.int8).reshape(count, -1, columns)
        unit = _NIBBLE_UNIT if packs else 1
        offsets = (base - blocks.zero_points) / unit - (1 if packs else 0)
        is_uniform, is_scaled = bool(np.all(offsets == offsets.flat[0])), count > 1
        scales = blocks.scales * np.float32(unit) if is_scaled else blocks.scales
        rest = [scales] if is_scaled else []
        rest += [] if is_uniform else [(offsets * scales).astype(np.float32)]
        constant = float(offsets.flat[0])

        def compute(tensor: Tensor, words: Tensor, *rest: Tensor) -> Tensor:
            block, inner = te.reduce_axis((0, count), "b"), te.reduce_axis((0, int(words.shape[1])), "k")
            part = te.reduce_axis((0, _NIBBLES), "t") if packs else None
            axes = [block, inner, *([part] if part is not None else [])]

            def element(*index: Expression) -> Expression:
                place = block * blocks.size + (inner if part is None else inner * _NIBBLES + part)
                word = words(block, inner, index[-1])
                number = word.astype("float32") if part is None else _nibble(word, part)
                extra = [each(block, index[-1]) for each in rest]
                value = number * extra[0] if is_scaled else number
                if not is_uniform:
                    value = value + extra[-1]
                elif constant:
                    offset = tirx.const(constant, "float32")
                    value = value + (extra[0] * offset if is_scaled else offset)
                return te.sum(tensor(*index[:-1], place) * value, axis=axes)

            return te.compute((*list(tensor.shape)[:-1], words.shape[2]), element, name=STORED_PRODUCT)

        return _called(self.builder_, compute, data, [weights, *rest])

    def _blocks(self, argument: RelaxExpr) -> _Blocks | None:
        """Weights that are moved from where they were dequantised, as blocks of the sum; None if they are none."""
        moves: list[RelaxExpr] = []
        value = bound_value(self, argument)
        while operator_name(value) in _MOVES:
            moves.insert(0, value)
            value = bound_value(self, value.args[0])
        if operator_name(value) != "dequantize":
            return None
        stored, scale, zero_point = (constant_array(bound_value(self, each)) for each in value.args)
        if stored is None or scale is None or zero_point is None or stored.dtype not in (np.int8, np.uint8):
            return None
        axis = int(value.attrs.axis) % max(stored.ndim, 1)
        shape = [-1 if each == axis else 1 for each in range(stored.ndim)]
        groups = np.arange(scale.size, dtype=np.int32).reshape(shape if scale.size > 1 else [1] * stored.ndim)
        values, owners = stored, np.broadcast_to(groups, stored.shape)
        for move in moves:
            values, owners = _moved(values, move), _moved(owners, move)
        blocks = _block_owners(owners)
        if blocks is None:
            return None
        zeros = np.broadcast_to(zero_point.reshape(-1).astype(np.float32), scale.size)
        scales = scale.reshape(-1).astype(np.float32)
        return _Blocks(values.astype(np.int32), scales[blocks], zeros[blocks])


@relax.expr_functor.mutator
class _Halves(relax.PyExprMutator):  # type: ignore[misc]
    def visit_call_(self, call: RelaxCall) -> RelaxExpr:
        call = self.visit_expr_post_order(call)
        if not _is_small_product(call) or not is_constant(call.args[1]):
            return call
        weights: np.ndarray = np.from_dlpack(call.args[1].value)
        narrow = _as_half(weights)
        if narrow is None:
            return call

        def compute(tensor: Tensor, stored: Tensor) -> Tensor:
            inner = te.reduce_axis((0, stored.shape[0]), "k")

            def element(*index: Expression) -> Expression:
                number = stored(inner, index[-1])
                wide = widened(number) if str(stored.dtype) == BFLOAT16.storage else number.astype("float32")
                return te.sum(tensor(*index[:-1], inner) * wide, axis=[inner])

            return te.compute((*list(tensor.shape)[:-1], stored.shape[1]), element, name=STORED_PRODUCT)

        return _called(self.builder_, compute, call.args[0], [narrow])


def _called(
    builder: relax.BlockBuilder, compute: Callable[..., Tensor], data: RelaxExpr, arrays: list[np.ndarray]
) -> RelaxExpr:
    """A call of the product's kernel, which is a contraction to fusion."""
    constants = [relax.const(np.ascontiguousarray(array)) for array in arrays]
    tensors = [
        te.placeholder(list(each.ty.shape), str(each.ty.dtype), name=f"p{n}")
        for n, each in enumerate([data, *constants])
    ]
    result = compute(*tensors)
    function = te.create_prim_func([*tensors, result]).with_attr("op_pattern", _CONTRACTION)
    name = builder.add_func(function.without_attr("global_symbol"), STORED_PRODUCT)
    return relax.call_tir(name, [data, *constants], out_ty=relax.TensorType(list(result.shape), "float32"))


def _as_half(weights: np.ndarray) -> np.ndarray | None:
    """The same numbers as float16, or as bfloat16 in uint16; None if neither holds all of them."""
    weights = np.ascontiguousarray(weights)
    for part in (weights.reshape(-1)[:256], weights):  # nearly all weights of float32 models end at the first few
        with np.errstate(over="ignore"):
            is_float16 = np.array_equal(part.astype(np.float16).astype(np.float32), part)
        is_bfloat16 = not (part.view(np.uint32) & np.uint32(0xFFFF)).any()
        if not is_float16 and not is_bfloat16:
            return None
    return weights.astype(np.float16) if is_float16 else to_bfloat16(weights)


def _fits_nibbles(blocks: _Blocks) -> bool:
    """Whether the integers span four bits, and whole words of them each block."""
    span = int(blocks.values.max()) - int(blocks.values.min())
    return span <= _MOST_NIBBLE and blocks.size % _NIBBLES == 0


def _packed_nibbles(values: np.ndarray, blocks: int) -> np.ndarray:
    """[blocks, size / 8, columns] of uint32: eight neighbours along the sum, the first one in the lowest bits."""
    parts = values.astype(np.uint32).reshape(blocks, -1, _NIBBLES, values.shape[1])
    places = (4 * np.arange(_NIBBLES, dtype=np.uint32)).reshape(1, 1, _NIBBLES, 1)
    return np.asarray(np.bitwise_or.reduce(parts << places, axis=2))


def _nibble(word: Expression, part: Expression) -> Expression:
    """1 + n / 16 in float32 where n is a part of a word: its bits as the highest ones of the fraction.

    A rotation and one logical operation: fewer than what turns an integer into a float.
    """
    left = tirx.floormod(_FRACTION + 32 - 4 * part, 32).astype("uint32")
    turned = tirx.bitwise_or(tirx.shift_left(word, left), tirx.shift_right(word, tirx.const(32, "uint32") - left))
    mask, one = tirx.const(_MOST_NIBBLE << _FRACTION, "uint32"), tirx.const(0x3F800000, "uint32")
    return tirx.reinterpret("float32", tirx.bitwise_or(tirx.bitwise_and(turned, mask), one))


def _moved(array: np.ndarray, move: RelaxExpr) -> np.ndarray:
    if operator_name(move) == "permute_dims":
        axes = move.attrs.axes
        return np.transpose(array, None if axes is None else [int(axis) for axis in axes])
    return array.reshape([int(size) for size in move.ty.shape])


def _block_owners(owners: np.ndarray) -> np.ndarray | None:
    """[inputs, columns] of scales' numbers as [blocks, columns]; None where blocks of the sum are not equally long."""
    inputs = owners.shape[0]
    changes = np.flatnonzero(np.any(owners[1:] != owners[:-1], axis=1)) + 1
    size = int(changes[0]) if changes.size else inputs
    blocks = owners[::size]
    is_regular = inputs % size == 0 and np.array_equal(np.repeat(blocks, size, axis=0), owners)
    return np.asarray(blocks) if is_regular else None
