"""The kernels in Triton: sizes and strides are constants, so that a launch takes addresses alone. Loads Triton."""
# mypy: disable-error-code="no-untyped-def, untyped-decorator"

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def finished(values, bias, columns, n: tl.constexpr, HAS_BIAS: tl.constexpr, HAS_RELU: tl.constexpr):
    """What comes after the product, on a tile."""
    if HAS_BIAS:
        values += tl.load(bias + columns, mask=columns < n, other=0).to(values.dtype)[None, :]
    if HAS_RELU:
        values = tl.maximum(values, 0, propagate_nan=tl.PropagateNan.ALL)
    return values


@triton.jit
def gemm(
    a, b, bias, c,
    m: tl.constexpr, n: tl.constexpr, k: tl.constexpr,
    a_batch: tl.constexpr, a_row: tl.constexpr, a_step: tl.constexpr,
    b_batch: tl.constexpr, b_step: tl.constexpr, b_column: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr, GROUP: tl.constexpr, SPLIT: tl.constexpr,
    SUM: tl.constexpr, PRECISION: tl.constexpr, HAS_BIAS: tl.constexpr, HAS_RELU: tl.constexpr,
):  # fmt: skip
    """A tile of `c[batch, m, n]`, or with SPLIT > 1 the part of it that is `c[split, batch, m, n]`.

    Blocks are numbered so that GROUP rows of tiles share what they read of b; axis 1 is the batch, axis 2 the split.
    """
    number, batch, split = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    rows_of_tiles: tl.constexpr = (m + BLOCK_M - 1) // BLOCK_M
    columns_of_tiles: tl.constexpr = (n + BLOCK_N - 1) // BLOCK_N
    first = number // (GROUP * columns_of_tiles) * GROUP
    height = min(rows_of_tiles - first, GROUP)
    rows = (first + number % (GROUP * columns_of_tiles) % height) * BLOCK_M + tl.arange(0, BLOCK_M)
    columns = number % (GROUP * columns_of_tiles) // height * BLOCK_N + tl.arange(0, BLOCK_N)
    a += batch.to(tl.int64) * a_batch
    b += batch.to(tl.int64) * b_batch
    left_rows = rows % m if m % BLOCK_M != 0 else rows  # what is read of other rows is not stored
    right_columns = columns % n if n % BLOCK_N != 0 else columns
    steps: tl.constexpr = ((k + BLOCK_K - 1) // BLOCK_K + SPLIT - 1) // SPLIT
    total = tl.zeros((BLOCK_M, BLOCK_N), SUM)
    for step in range(steps):
        inside = (split * steps + step) * BLOCK_K + tl.arange(0, BLOCK_K)
        left_at = a + left_rows[:, None] * a_row + inside[None, :] * a_step
        right_at = b + inside[:, None] * b_step + right_columns[None, :] * b_column
        if k % (BLOCK_K * SPLIT) == 0:
            left, right = tl.load(left_at), tl.load(right_at)
        else:
            left = tl.load(left_at, mask=inside[None, :] < k, other=0)
            right = tl.load(right_at, mask=inside[:, None] < k, other=0)
        total = tl.dot(left, right, total, input_precision=PRECISION, out_dtype=SUM)
    if SPLIT == 1:
        total = finished(total, bias, columns, n, HAS_BIAS, HAS_RELU)
    place = (split * tl.num_programs(1) + batch).to(tl.int64) * (m * n)
    at = c + place + rows[:, None] * n + columns[None, :]
    tl.store(at, total.to(c.dtype.element_ty), mask=(rows[:, None] < m) & (columns[None, :] < n))


@triton.jit
def finish(
    parts, bias, c,
    elements: tl.constexpr, n: tl.constexpr, SPLIT: tl.constexpr, BLOCK: tl.constexpr,
    HAS_BIAS: tl.constexpr, HAS_RELU: tl.constexpr,
):  # fmt: skip
    """The parts of a split product summed in order, and what comes after it."""
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    total = tl.load(parts + at, mask=at < elements, other=0)
    for split in range(1, SPLIT):
        total += tl.load(parts + split * elements + at, mask=at < elements, other=0)
    if HAS_BIAS:
        total += tl.load(bias + at % n, mask=at < elements, other=0).to(total.dtype)
    if HAS_RELU:
        total = tl.maximum(total, 0, propagate_nan=tl.PropagateNan.ALL)
    tl.store(c + at, total.to(c.dtype.element_ty), mask=at < elements)
