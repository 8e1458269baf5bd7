"""Tensor intrinsics of warps that multiply small matrices (`nvcuda::wmma`), for operands as bfloat16.

TVM's own module of them takes 40 s to import and has none for bfloat16 that is stored as uint16, as it is here. A name
says all: `flextune.wmma.load_a.16.8.32.rows` and so on; an intrinsic is made when a trace first names it.
"""

# mypy: disable-error-code="valid-type, untyped-decorator, no-untyped-def, no-untyped-call"
# The script parser reads the annotations of these functions as types of TIR.

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial

import tvm
import tvm_ffi
from tvm import tirx
from tvm.s_tir import TensorIntrin
from tvm.script import tirx as T  # noqa: N812  # the name that the script parser knows

from flextune.schedule.instructions import register_intrinsic
from flextune.tvm_types import Buffer, Expression, IRModule, PrimFunc

SHAPES = ((16, 16, 16), (32, 8, 16), (8, 32, 16))
"""Rows, columns and steps of one instruction: m * n * k = 4096, as in Heron's tensor core space."""

FEATURE = "bfloat16"
_STORED, _SUM, _SHARED = "uint16", "float32", "shared.dyn"
_ALIGNMENT = 64


@dataclass(frozen=True, slots=True)
class Wmma:
    """The intrinsics of one shape, and how the operands' tiles lie."""

    rows: int
    columns: int
    steps: int
    left_rows_inside: bool
    right_columns_inside: bool
    left: int
    """Which operand of the product, as it is written, holds the rows."""

    def name(self, role: str) -> str:
        sides = f"{int(self.left_rows_inside)}{int(self.right_columns_inside)}{self.left}"
        return f"flextune.wmma.{role}.{self.rows}.{self.columns}.{self.steps}.{sides}"

    @property
    def shape(self) -> tuple[int, int, int]:
        return (self.rows, self.columns, self.steps)

    @property
    def left_tile(self) -> tuple[int, int]:
        return (self.steps, self.rows) if self.left_rows_inside else (self.rows, self.steps)

    @property
    def right_tile(self) -> tuple[int, int]:
        return (self.steps, self.columns) if self.right_columns_inside else (self.columns, self.steps)

    def left_index(self, i: Expression, k: Expression) -> tuple[Expression, Expression]:
        return (k, i) if self.left_rows_inside else (i, k)

    def right_index(self, j: Expression, k: Expression) -> tuple[Expression, Expression]:
        return (k, j) if self.right_columns_inside else (j, k)


@cache
def register_wmma(kind: str) -> None:
    """Let traces for targets of this kind name these intrinsics."""
    for shape in SHAPES:
        for left_inside in (False, True):
            for right_inside in (False, True):
                for left in (0, 1):
                    _register(kind, Wmma(*shape, left_inside, right_inside, left))


def _register(kind: str, wmma: Wmma) -> None:
    makers = {
        "fill": partial(_fill, wmma),
        "load_a": partial(_load, wmma, "a"),
        "load_b": partial(_load, wmma, "b"),
        "multiply": partial(_multiply, wmma),
        "store": partial(_store, wmma),
    }
    for role, make in makers.items():
        register_intrinsic(kind, wmma.name(role), FEATURE, partial(_define, wmma.name(role), make))


def _define(name: str, make: Callable[[], tuple[PrimFunc, PrimFunc]]) -> None:
    TensorIntrin.register(name, *make())


def widened(stored: Expression) -> Expression:
    """A stored bfloat16 as float32, written as `TensorBuilder.widened` writes it."""
    return tirx.reinterpret(_SUM, tirx.shift_left(stored.astype("uint32"), tirx.const(16, "uint32")))


def with_typed_fragments(module: IRModule) -> IRModule:
    """The module with fragments of stored bfloat16 as fragments of bfloat16, which they are to tensor cores."""
    function = module["main"]
    replaced: dict[Buffer, Buffer] = {}

    def typed(variable: Buffer) -> Buffer:
        if not tirx.buffer.is_buffer_var(variable) or not variable.scope().startswith("wmma.matrix"):
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


def _fill(wmma: Wmma):
    m, n, k = wmma.shape

    @T.prim_func(s_tir=True)
    def pattern(c: T.handle) -> None:
        C = T.match_buffer(c, (m, n), _SUM, align=_ALIGNMENT, offset_factor=n, scope="wmma.accumulator")
        with T.sblock("root"):
            T.reads()
            T.writes(C[0:m, 0:n])
            for i, j in T.grid(m, n):
                with T.sblock("init"):
                    vi, vj = T.axis.remap("SS", [i, j])
                    C[vi, vj] = T.float32(0)

    @T.prim_func(s_tir=True)
    def code(c: T.handle) -> None:
        d1 = T.int32()
        d0 = T.int32()
        C = T.match_buffer(
            c, (m, n), _SUM, align=_ALIGNMENT, offset_factor=n, scope="wmma.accumulator", strides=[d1, d0]
        )
        with T.sblock("root"):
            T.reads()
            T.writes(C[0:m, 0:n])
            T.evaluate(T.tvm_fill_fragment(C.data, m, n, k, _fragment(C, d1, m, n), T.float32(0)))

    return pattern, code


def _fragment(buffer, stride: Expression, rows: int, columns: int) -> Expression:
    """Which fragment of an array of them a tile is."""
    row, rest = buffer.elem_offset // stride, buffer.elem_offset % stride
    return row // rows * (stride // columns) + rest // columns


def _load(wmma: Wmma, side: str):
    m, n, k = wmma.shape
    rows, columns = wmma.left_tile if side == "a" else wmma.right_tile
    inside = wmma.left_rows_inside if side == "a" else not wmma.right_columns_inside
    layout = "col_major" if inside else "row_major"
    scope = f"wmma.matrix_{side}"

    @T.prim_func(s_tir=True)
    def pattern(a: T.handle, c: T.handle) -> None:
        A = T.match_buffer(a, (rows, columns), _STORED, align=_ALIGNMENT, offset_factor=8, scope=_SHARED)
        C = T.match_buffer(c, (rows, columns), _STORED, align=_ALIGNMENT, offset_factor=columns, scope=scope)
        with T.sblock("root"):
            T.reads(A[0:rows, 0:columns])
            T.writes(C[0:rows, 0:columns])
            for i, j in T.grid(rows, columns):
                with T.sblock("load"):
                    vi, vj = T.axis.remap("SS", [i, j])
                    C[vi, vj] = A[vi, vj]

    @T.prim_func(s_tir=True)
    def code(a: T.handle, c: T.handle) -> None:
        s1 = T.int32()
        s0 = T.int32()
        d1 = T.int32()
        d0 = T.int32()
        A = T.match_buffer(
            a, (rows, columns), _STORED, align=_ALIGNMENT, offset_factor=8, scope=_SHARED, strides=[s1, s0]
        )
        C = T.match_buffer(
            c, (rows, columns), _STORED, align=_ALIGNMENT, offset_factor=columns, scope=scope, strides=[d1, d0]
        )
        with T.sblock("root"):
            T.reads(A[0:rows, 0:columns])
            T.writes(C[0:rows, 0:columns])
            T.evaluate(
                T.tvm_load_matrix_sync(C.data, m, n, k, _fragment(C, d1, rows, columns), A.access_ptr("r"), s1, layout)
            )

    return pattern, code


def _store(wmma: Wmma):
    m, n, k = wmma.shape

    @T.prim_func(s_tir=True)
    def pattern(a: T.handle, c: T.handle) -> None:
        A = T.match_buffer(a, (m, n), _SUM, align=_ALIGNMENT, offset_factor=n, scope="wmma.accumulator")
        C = T.match_buffer(c, (m, n), _SUM, align=_ALIGNMENT, offset_factor=4, scope=_SHARED)
        with T.sblock("root"):
            T.reads(A[0:m, 0:n])
            T.writes(C[0:m, 0:n])
            for i, j in T.grid(m, n):
                with T.sblock("store"):
                    vi, vj = T.axis.remap("SS", [i, j])
                    C[vi, vj] = A[vi, vj]

    @T.prim_func(s_tir=True)
    def code(a: T.handle, c: T.handle) -> None:
        s1 = T.int32()
        s0 = T.int32()
        d1 = T.int32()
        d0 = T.int32()
        A = T.match_buffer(
            a, (m, n), _SUM, align=_ALIGNMENT, offset_factor=n, scope="wmma.accumulator", strides=[d1, d0]
        )
        C = T.match_buffer(c, (m, n), _SUM, align=_ALIGNMENT, offset_factor=4, scope=_SHARED, strides=[s1, s0])
        with T.sblock("root"):
            T.reads(A[0:m, 0:n])
            T.writes(C[0:m, 0:n])
            T.evaluate(
                T.tvm_store_matrix_sync(A.data, m, n, k, _fragment(A, d1, m, n), C.access_ptr("w"), s1, "row_major")
            )

    return pattern, code


def _multiply(wmma: Wmma):
    m, n, k = wmma.shape
    left, right = wmma.left_tile, wmma.right_tile

    def product(a: Expression, b: Expression) -> Expression:
        first, second = (a, b) if wmma.left == 0 else (b, a)
        return widened(first) * widened(second)

    @T.prim_func(s_tir=True)
    def pattern(a: T.handle, b: T.handle, c: T.handle) -> None:
        A = T.match_buffer(a, left, _STORED, align=_ALIGNMENT, offset_factor=left[1], scope="wmma.matrix_a")
        B = T.match_buffer(b, right, _STORED, align=_ALIGNMENT, offset_factor=right[1], scope="wmma.matrix_b")
        C = T.match_buffer(c, (m, n), _SUM, align=_ALIGNMENT, offset_factor=n, scope="wmma.accumulator")
        with T.sblock("root"):
            T.reads(C[0:m, 0:n], A[0 : left[0], 0 : left[1]], B[0 : right[0], 0 : right[1]])
            T.writes(C[0:m, 0:n])
            for i, j, s in T.grid(m, n, k):
                with T.sblock("update"):
                    vi, vj, vk = T.axis.remap("SSR", [i, j, s])
                    a0, a1 = T.meta_var(wmma.left_index(vi, vk))
                    b0, b1 = T.meta_var(wmma.right_index(vj, vk))
                    C[vi, vj] = C[vi, vj] + product(A[a0, a1], B[b0, b1])

    @T.prim_func(s_tir=True)
    def code(a: T.handle, b: T.handle, c: T.handle) -> None:
        a1 = T.int32()
        a0 = T.int32()
        b1 = T.int32()
        b0 = T.int32()
        c1 = T.int32()
        c0 = T.int32()
        A = T.match_buffer(
            a, left, _STORED, align=_ALIGNMENT, offset_factor=left[1], scope="wmma.matrix_a", strides=[a1, a0]
        )
        B = T.match_buffer(
            b, right, _STORED, align=_ALIGNMENT, offset_factor=right[1], scope="wmma.matrix_b", strides=[b1, b0]
        )
        C = T.match_buffer(
            c, (m, n), _SUM, align=_ALIGNMENT, offset_factor=n, scope="wmma.accumulator", strides=[c1, c0]
        )
        with T.sblock("root"):
            T.reads(C[0:m, 0:n], A[0 : left[0], 0 : left[1]], B[0 : right[0], 0 : right[1]])
            T.writes(C[0:m, 0:n])
            T.evaluate(
                T.tvm_mma_sync(
                    C.data, _fragment(C, c1, m, n), A.data, _fragment(A, a1, left[0], left[1]), B.data,
                    _fragment(B, b1, right[0], right[1]), C.data, _fragment(C, c1, m, n),
                )
            )  # fmt: skip

    return pattern, code
