"""A 3 x 3 convolution of stride 1, channels last, as a Winograd program of plain blocks.

rows[a, column, tile, ci]   the data transform down the columns of each input tile      (B^T d)
spectrum[e, tile, ci]       and along its rows, for every point e of the plane          (... B)
product[e, tile, co]        one matrix product per point with the transformed weights
back_rows[i, b, tile, co]   the output transform down the columns                       (A^T m)
result[n, y, x, co]         and along the rows                                          (... A)

Tiles are (n, ty, tx). The blocks carry roles (`flextune.analysis.roles`), by which a schedule rule knows them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from tvm import te, tirx

from flextune.errors import UsageError
from flextune.plan.algorithms.winograd_lines import data_line, result_line
from flextune.plan.algorithms.winograd_transforms import TAPS, Transforms, transforms
from flextune.tvm_types import Expression, PrimFunc, Tensor
from flextune.workload.roles import ROLE
from flextune.workload.tir import GAIN

Element = Callable[..., Expression]
"""An element of a tensor by its indices."""

_FUSABLE_WITH_WHAT_FOLLOWS = 4
"""TVM's number for an operator whose element-wise consumers can be fused into it, as into a convolution."""


@dataclass(frozen=True, slots=True)
class WinogradShape:
    """One convolution of data [batch, height, width, ci] with weights [3, 3, ci, co]."""

    batch: int
    """Images."""
    height: int
    """Of an image, without padding."""
    width: int
    """Of an image, without padding."""
    ci: int
    """Input channels."""
    co: int
    """Output channels."""
    pads: tuple[int, int, int, int]
    """top, left, bottom, right, as in ONNX."""

    def __post_init__(self) -> None:
        if min(self.batch, self.ci, self.co, self.out_height, self.out_width) < 1 or min(self.pads) < 0:
            raise UsageError(f"a 3x3 convolution needs at least one output and no negative padding: {self}")

    @property
    def out_height(self) -> int:
        return self.height + self.pads[0] + self.pads[2] - (TAPS - 1)

    @property
    def out_width(self) -> int:
        return self.width + self.pads[1] + self.pads[3] - (TAPS - 1)

    def tiles(self, outputs: int) -> tuple[int, int]:
        """Rows and columns of tiles; a column may be added so that blocks of them come out even."""
        return math.ceil(self.out_height / outputs), _even_tiles(math.ceil(self.out_width / outputs))


@lru_cache(maxsize=256)
def winograd_prim_func(shape: WinogradShape, outputs: int, index_dtype: str = "int32") -> PrimFunc:
    """The PrimFunc (data, transformed weights [points, ci, co], result) of F(outputs x outputs, 3 x 3) in float32.

    Functions of a Relax module count in `index_dtype` int64.
    """
    data = te.placeholder((shape.batch, shape.height, shape.width, shape.ci), "float32", name="data")
    points = transforms(outputs).inputs ** 2
    weight = te.placeholder((points, shape.ci, shape.co), "float32", name="weight")
    result = winograd_tensor(data, weight, shape.pads, outputs)
    function = te.create_prim_func([data, weight, result], index_dtype_override=index_dtype)
    return function.with_attr("op_pattern", _FUSABLE_WITH_WHAT_FOLLOWS)


def winograd_tensor(data: Tensor, weight: Tensor, pads: Sequence[int], outputs: int) -> Tensor:
    """The convolution of `data` as a tensor expression; `weight` is transformed."""
    batch, height, width, ci = (int(extent) for extent in data.shape)
    shape = WinogradShape(batch, height, width, ci, int(weight.shape[2]), (pads[0], pads[1], pads[2], pads[3]))
    return _Program(shape, transforms(outputs)).result(data, weight)


def _even_tiles(count: int) -> int:
    """At least `count`; more only for long rows that fall into no equal blocks of 6 to 16 tiles."""
    return next(n for n in range(count, 2 * count + 1) if n <= 16 or any(n % block == 0 for block in range(6, 17)))


class _Program:
    def __init__(self, shape: WinogradShape, matrices: Transforms) -> None:
        self.shape, self.matrices = shape, matrices
        self.inputs, self.outputs = matrices.inputs, matrices.outputs
        self.grid = (shape.batch, *shape.tiles(matrices.outputs))

    def result(self, data: Tensor, weight: Tensor) -> Tensor:
        spectrum = self._spectrum(self._rows(self._padded(data)))
        return self._result(self._back_rows(self._product(spectrum, weight)))

    def _padded(self, data: Tensor) -> Tensor:
        """The data with its padding and whatever the last tiles reach beyond."""
        shape, (_, rows, columns) = self.shape, self.grid
        top, left = shape.pads[:2]
        extents = (rows * self.outputs + TAPS - 1, columns * self.outputs + TAPS - 1)
        if (*extents, top, left) == (shape.height, shape.width, 0, 0):
            return data

        def element(n: Expression, y: Expression, x: Expression, c: Expression) -> Expression:
            inside = [*_bounds(y, top, shape.height, extents[0]), *_bounds(x, left, shape.width, extents[1])]
            value = data[n, y - top if top else y, x - left if left else x, c]
            return tirx.if_then_else(tirx.all(*inside), value, tirx.const(0, "float32")) if inside else value

        return _block((shape.batch, *extents, shape.ci), element, "winograd_pad", "winograd.pad")

    def _rows(self, padded: Tensor) -> Tensor:
        def element(
            a: Expression,
            column: Expression,
            n: Expression,
            ty: Expression,
            tx: Expression,
            c: Expression,
        ) -> Expression:
            line = [padded[n, ty * self.outputs + k, tx * self.outputs + column, c] for k in range(self.inputs)]
            return _one_of(a, data_line(self.matrices, line, _scaled))

        return _block((self.inputs, self.inputs, *self.grid, self.shape.ci), element, "winograd_rows", "winograd.rows")

    def _spectrum(self, rows: Tensor) -> Tensor:
        def element(e: Expression, n: Expression, ty: Expression, tx: Expression, c: Expression) -> Expression:
            row = tirx.floordiv(e, self.inputs)
            line = [rows[row, column, n, ty, tx, c] for column in range(self.inputs)]
            return _one_of(tirx.floormod(e, self.inputs), data_line(self.matrices, line, _scaled))

        shape = (self.inputs**2, *self.grid, self.shape.ci)
        return _block(shape, element, "winograd_spectrum", "winograd.spectrum")

    def _product(self, spectrum: Tensor, weight: Tensor) -> Tensor:
        ci = te.reduce_axis((0, self.shape.ci), "ci")

        def element(e: Expression, n: Expression, ty: Expression, tx: Expression, co: Expression) -> Expression:
            return te.sum(spectrum[e, n, ty, tx, ci] * weight[e, ci, co], axis=[ci])

        shape = (self.inputs**2, *self.grid, self.shape.co)
        return _block(shape, element, "winograd_product", "winograd.product")

    def _back_rows(self, product: Tensor) -> Tensor:
        def element(
            i: Expression, b: Expression, n: Expression, ty: Expression, tx: Expression, co: Expression
        ) -> Expression:
            line = [product[a * self.inputs + b, n, ty, tx, co] for a in range(self.inputs)]
            return _one_of(i, result_line(self.matrices, line, _scaled))

        shape = (self.outputs, self.inputs, *self.grid, self.shape.co)
        return _block(shape, element, "winograd_back_rows", "winograd.back_rows")

    def _result(self, back: Tensor) -> Tensor:
        m, shape = self.outputs, self.shape

        def element(n: Expression, y: Expression, x: Expression, co: Expression) -> Expression:
            ty, tx = tirx.floordiv(y, m), tirx.floordiv(x, m)
            line = [back[tirx.floormod(y, m), b, n, ty, tx, co] for b in range(self.inputs)]
            return _one_of(tirx.floormod(x, m), result_line(self.matrices, line, _scaled))

        extents = (shape.batch, shape.out_height, shape.out_width, shape.co)
        return _block(extents, element, "winograd_conv2d", "winograd.result", {GAIN: self.matrices.gain})


def _block(
    shape: Sequence[int],
    element: Element,
    name: str,
    role: str,
    annotations: Mapping[str, int] | None = None,
) -> Tensor:
    return te.compute(tuple(shape), element, name=name, attrs={ROLE: role, **(annotations or {})})


def _bounds(position: Expression, low: int, extent: int, whole: int) -> list[Expression]:
    """The conditions for `position` to lie in the data that can fail."""
    conditions = [position >= low] if low else []
    return [*conditions, position < low + extent] if low + extent < whole else conditions


def _scaled(factor: float, value: Expression) -> Expression:
    return value * tirx.const(factor, "float32")


def _one_of(index: Expression, values: Sequence[Expression]) -> Expression:
    """values[index]; where the loop over `index` is unrolled, only the value meant is left."""
    chosen = values[-1]
    for number in range(len(values) - 2, -1, -1):
        chosen = tirx.Select(index == number, values[number], chosen)
    return chosen
