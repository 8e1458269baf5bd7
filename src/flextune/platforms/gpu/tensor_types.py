"""What tensor cores multiply: element types, how programs store them, and the shapes of instructions for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import tvm_ffi
from tvm import tirx
from tvm.ir import TensorLoad

from flextune.analysis.program_facts import BlockFacts
from flextune.target.target import Target
from flextune.tvm_types import Expression, Statement
from flextune.workload.element_type import element_type
from flextune.workload.elements import WIDE_SUMS
from flextune.workload.tensor_builder import TensorBuilder

Shape = tuple[int, int, int]

MMA_FEATURE = "cp_async"
"""What tells the GPUs whose warps have these shapes of `mma.sync`: both came with compute capability 8.0."""

_SQUARE: tuple[Shape, ...] = ((16, 16, 16), (32, 8, 16), (8, 32, 16))


@dataclass(frozen=True, slots=True)
class TensorType:
    """One type of operands: `wmma` and `mma` are rows, columns and steps of the instructions that take it.

    All wmma shapes but those of tf32 have rows * columns * steps = 4096, as in Heron's tensor core space.
    """

    name: str
    """As workloads call it."""
    feature: str
    """What a target must have."""
    stored: frozenset[str]
    """The types of the operands' arrays: of one, where both have the same."""
    sums: str
    wmma: tuple[Shape, ...]
    mma: Shape

    @property
    def bytes(self) -> int:
        """Of an element."""
        return max(element_type(each).bytes for each in self.stored)

    @property
    def sum_bytes(self) -> int:
        """Of a sum."""
        return element_type(self.sums).bytes

    @property
    def shapes(self) -> tuple[Shape, ...]:
        """Of all instructions; the last one is of `mma.sync`."""
        return (*self.wmma, self.mma)

    def available(self, target: Target) -> tuple[int, ...]:
        """Which of the shapes a target has."""
        if not target.has(self.feature):
            return ()
        count = len(self.wmma)
        return tuple(range(count + 1 if target.has(MMA_FEATURE) else count))


TENSOR_TYPES: Mapping[str, TensorType] = {
    each.name: each
    for each in (
        TensorType("bfloat16", "bfloat16", frozenset({"uint16"}), "float32", _SQUARE, (16, 8, 16)),
        TensorType("float16", "float16", frozenset({"float16"}), "float16", _SQUARE, (16, 8, 16)),
        TensorType(WIDE_SUMS, "float16", frozenset({"float16"}), "float32", _SQUARE, (16, 8, 16)),
        TensorType("tf32", "tf32", frozenset({"float32"}), "float32", ((16, 16, 8),), (16, 8, 8)),
        TensorType("int8", "int8", frozenset({"int8"}), "int32", _SQUARE, (16, 8, 32)),
        TensorType("uint8", "int8", frozenset({"uint8", "int8"}), "int32", (), (16, 8, 32)),
    )
}
"""wmma takes no products of signed and unsigned bytes, `mma.sync` does."""

MMA_SHAPES = frozenset(each.mma for each in TENSOR_TYPES.values())


def tensor_type(block: BlockFacts) -> TensorType | None:
    """What a product multiplies, if it is among these types and written as their products are."""
    found = type_of_operands([access.buffer.dtype for access in block.reads], block.output.dtype)
    return found if found is not None and _multiplies(block.block.body, found.name) else None


def type_of_operands(stored: list[str], sums: str) -> TensorType | None:
    """The type whose operands and sums are stored so."""
    return next((each for each in TENSOR_TYPES.values() if (each.stored, each.sums) == (frozenset(stored), sums)), None)


def _multiplies(store: Statement, name: str) -> bool:
    """Whether a sum is of products of this type: all bits of float32, for one, are no tf32."""
    loads: list[Expression] = []
    tvm_ffi.structural_walk(store.value, (TensorLoad, loads.append))
    operands = [load for load in loads if not load.source.same_as(store.buffer)]
    if len(operands) != 2 or not isinstance(store.value, tirx.Add):
        return False
    product = TensorBuilder(name).product(*operands)
    return any(tvm_ffi.structural_equal(term, product) for term in (store.value.a, store.value.b))
