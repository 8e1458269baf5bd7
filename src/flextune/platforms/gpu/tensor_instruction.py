"""Tensor intrinsics of warps that multiply small matrices: loads of fragments, products, stores.

They are written with TVM's builder: parsing them as TVMScript reads the source line of every frame of the stack for
each, and importing TVM's own module of them takes 40 s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

import tvm
import tvm_ffi
from tvm import tirx
from tvm.s_tir import TensorIntrin
from tvm.script.ir_builder import IRBuilder
from tvm.tirx.script import builder as T  # noqa: N812  # the name by which TVM's users know it

from flextune.errors import ScheduleError
from flextune.platforms.gpu.contraction_step import SHARED
from flextune.platforms.gpu.tensor_types import TENSOR_TYPES, Shape
from flextune.target.target import Target
from flextune.tvm_types import Buffer, Expression, IRModule, PrimFunc
from flextune.workload.tensor_builder import TensorBuilder

SWIZZLED_STRIDE = "flextune::SwizzledStride"
"""What a load's stride is made of in source where the tile is swizzled."""

_ALIGNMENT = 64


@dataclass(frozen=True, slots=True)
class TensorInstruction:
    """The intrinsics of one shape, and how the operands' tiles lie."""

    type_name: str
    shape: Shape
    """Rows, columns, steps."""
    operands: tuple[str, str]
    """How both operands are stored, in the program's order."""
    left_rows_inside: bool
    right_columns_inside: bool
    left: int
    """Which operand of the product, as it is written, holds the rows."""
    swizzled: bool = False
    """Whether the pieces of the operands' tiles are exchanged in shared memory: loads say so by their stride."""

    @property
    def sums(self) -> str:
        return TENSOR_TYPES[self.type_name].sums

    @property
    def left_tile(self) -> tuple[int, int]:
        rows, _, steps = self.shape
        return (steps, rows) if self.left_rows_inside else (rows, steps)

    @property
    def right_tile(self) -> tuple[int, int]:
        _, columns, steps = self.shape
        return (steps, columns) if self.right_columns_inside else (columns, steps)

    def left_index(self, i: Expression, k: Expression) -> tuple[Expression, Expression]:
        return (k, i) if self.left_rows_inside else (i, k)

    def right_index(self, j: Expression, k: Expression) -> tuple[Expression, Expression]:
        return (k, j) if self.right_columns_inside else (j, k)

    def define(self, role: str, target: Target) -> str:
        """Make the intrinsic of this role known to TVM; its name. Raises `ScheduleError` where the target lacks it."""
        kind = TENSOR_TYPES[self.type_name]
        if kind.shapes.index(self.shape) not in kind.available(target):
            raise ScheduleError(f"{target} has no tensor cores for {self.type_name} in tiles of {self.shape}")
        return _defined(self, role)


@cache
def _defined(instruction: TensorInstruction, role: str) -> str:
    makers: dict[str, Callable[[TensorInstruction], tuple[PrimFunc, PrimFunc]]] = {
        "fill": _fill,
        "load_a": _load_left,
        "load_b": _load_right,
        "multiply": _multiply,
        "store": _store,
    }
    lies = "".join(str(int(each)) for each in (instruction.left_rows_inside, instruction.right_columns_inside))
    shape = ".".join(map(str, instruction.shape))
    types = "-".join((instruction.type_name, *instruction.operands))
    name = f"flextune.tensor.{role}.{types}.{shape}.{lies}{instruction.left}{'s' if instruction.swizzled else ''}"
    TensorIntrin.register(name, *makers[role](instruction))
    return name


def with_typed_fragments(module: IRModule) -> IRModule:
    """The module with fragments of operands in types that TVM has fragments of.

    Those of stored bfloat16 become what they are to tensor cores; those of float32, which are tf32 there, too: what
    writes the source tells them by their shape.
    """
    function = module["main"]
    replaced: dict[Buffer, Buffer] = {}

    def typed(variable: Buffer) -> Buffer:
        if not tirx.buffer.is_buffer_var(variable) or not variable.scope().startswith("wmma.matrix"):
            return variable
        if str(variable.ty.dtype) not in ("uint16", "float32"):
            return variable
        if variable not in replaced:
            kind = variable.ty
            replaced[variable] = tirx.decl_buffer(
                kind.shape, "bfloat16", variable.name, None, kind.strides, kind.elem_offset, variable.scope(),
                kind.data_alignment, kind.offset_factor,
            )  # fmt: skip
        return replaced[variable]

    body = tvm_ffi.structural_map(function.body, [(tirx.Var, typed)], order="post")
    if not replaced:
        return module
    return tvm.IRModule({"main": tirx.PrimFunc(function.params, body, function.ret_type, function.attrs)})


@dataclass(frozen=True, slots=True)
class _Tile:
    """A buffer of an intrinsic: `factor` divides where it starts."""

    name: str
    shape: tuple[int, int]
    dtype: str
    scope: str
    factor: int

    def matched(self, *, strided: bool) -> Buffer:
        strides = [tirx.Var(f"{self.name}{axis}", "int32") for axis in range(2)] if strided else None
        return T.match_buffer(
            T.arg(self.name.lower(), T.handle()), self.shape, self.dtype, strides=strides, align=_ALIGNMENT,
            offset_factor=self.factor, scope=self.scope, layout=None,
        )  # fmt: skip

    def region(self, buffer: Buffer) -> Expression:
        return buffer[0 : self.shape[0], 0 : self.shape[1]]


def _function(
    reads: tuple[_Tile, ...], written: _Tile, body: Callable[..., None], *, strided: bool, updates: bool = False
) -> PrimFunc:
    """A function of these tiles whose root block is what `body` writes."""
    with IRBuilder() as builder, T.prim_func(s_tir=True):
        T.func_name("main")
        inputs = [tile.matched(strided=strided) for tile in reads]
        output = written.matched(strided=strided)
        with T.sblock("root"):
            regions = [tile.region(buffer) for tile, buffer in zip(reads, inputs, strict=True)]
            T.reads(*([written.region(output)] if updates else []), *regions)
            T.writes(written.region(output))
            body(*inputs, output)
    return builder.get()


@contextmanager
def _element(kinds: str, *extents: int) -> Iterator[tuple[Expression, ...]]:
    """The block of one element; `kinds` has an S for each iterator that is spatial and an R for those that reduce."""
    with T.grid(*extents) as loops, T.sblock("element"):
        bound = T.axis.remap(kinds, list(loops))
        yield tuple(bound)


def _copied(source: Buffer, destination: Buffer) -> None:
    with _element("SS", *(int(extent) for extent in destination.shape)) as (i, j):
        T.buffer_store(destination, source[i, j], [i, j])


def _pointer(buffer: Buffer, access: str) -> Expression:
    return buffer.access_ptr(access)


def _fragment(buffer: Buffer, shape: tuple[int, int]) -> Expression:
    """Which fragment of an array of them a tile is."""
    stride, (rows, columns) = buffer.strides[0], shape
    row, rest = buffer.elem_offset // stride, buffer.elem_offset % stride
    return row // rows * (stride // columns) + rest // columns


def _sums(of: TensorInstruction) -> _Tile:
    rows, columns, _ = of.shape
    return _Tile("C", (rows, columns), of.sums, "wmma.accumulator", columns)


def _fill(of: TensorInstruction) -> tuple[PrimFunc, PrimFunc]:
    tile, (m, n, k) = _sums(of), of.shape

    def pattern(sums: Buffer) -> None:
        with _element("SS", m, n) as (i, j):
            T.buffer_store(sums, tirx.const(0, of.sums), [i, j])

    def code(sums: Buffer) -> None:
        T.evaluate(T.tvm_fill_fragment(sums.data, m, n, k, _fragment(sums, (m, n)), tirx.const(0, of.sums)))

    return _function((), tile, pattern, strided=False), _function((), tile, code, strided=True)


def _load_left(of: TensorInstruction) -> tuple[PrimFunc, PrimFunc]:
    return _load(of, "a", of.operands[of.left], of.left_tile, "col_major" if of.left_rows_inside else "row_major")


def _load_right(of: TensorInstruction) -> tuple[PrimFunc, PrimFunc]:
    layout = "row_major" if of.right_columns_inside else "col_major"
    return _load(of, "b", of.operands[1 - of.left], of.right_tile, layout)


def _load(
    of: TensorInstruction, side: str, dtype: str, shape: tuple[int, int], layout: str
) -> tuple[PrimFunc, PrimFunc]:
    m, n, k = of.shape
    memory = _Tile("A", shape, dtype, SHARED, 8)
    fragment = _Tile("C", shape, dtype, f"wmma.matrix_{side}", shape[1])

    def code(source: Buffer, destination: Buffer) -> None:
        index = _fragment(destination, shape)
        at = _pointer(source, "r")
        stride = source.strides[0]
        if of.swizzled:
            stride = T.call_pure_extern(SWIZZLED_STRIDE, stride, dtype="int32")
        T.evaluate(T.tvm_load_matrix_sync(destination.data, m, n, k, index, at, stride, layout))

    reads = (memory,)
    return _function(reads, fragment, _copied, strided=False), _function(reads, fragment, code, strided=True)


def _store(of: TensorInstruction) -> tuple[PrimFunc, PrimFunc]:
    sums, (m, n, k) = _sums(of), of.shape
    memory = _Tile("D", sums.shape, of.sums, SHARED, 4)

    def code(source: Buffer, destination: Buffer) -> None:
        index, at = _fragment(source, (m, n)), _pointer(destination, "w")
        T.evaluate(T.tvm_store_matrix_sync(source.data, m, n, k, index, at, destination.strides[0], "row_major"))

    return _function((sums,), memory, _copied, strided=False), _function((sums,), memory, code, strided=True)


def _multiply(of: TensorInstruction) -> tuple[PrimFunc, PrimFunc]:
    m, n, k = of.shape
    left = _Tile("A", of.left_tile, of.operands[of.left], "wmma.matrix_a", of.left_tile[1])
    right = _Tile("B", of.right_tile, of.operands[1 - of.left], "wmma.matrix_b", of.right_tile[1])
    build, sums_tile = TensorBuilder(of.type_name), _sums(of)
    reads = (left, right) if of.left == 0 else (right, left)  # as the program multiplies them: TVM compares it so

    def pattern(first: Buffer, second: Buffer, sums: Buffer) -> None:
        with _element("SSR", m, n, k) as (i, j, s):
            indices = (of.left_index(i, s), of.right_index(j, s))
            one, other = indices if of.left == 0 else indices[::-1]
            T.buffer_store(sums, sums[i, j] + build.product(first[one], second[other]), [i, j])

    def code(first: Buffer, second: Buffer, sums: Buffer) -> None:
        at = _fragment(sums, (m, n))
        a, b = (first, second) if of.left == 0 else (second, first)
        T.evaluate(
            T.tvm_mma_sync(
                sums.data, at, a.data, _fragment(a, left.shape), b.data, _fragment(b, right.shape), sums.data, at
            )
        )

    return (
        _function(reads, sums_tile, pattern, strided=False, updates=True),
        _function(reads, sums_tile, code, strided=True, updates=True),
    )
