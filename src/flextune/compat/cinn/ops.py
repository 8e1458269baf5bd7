"""Programs to tune: functions that build one for symbolic sizes, as CINN's `ops.build_layernorm_program`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tvm import te, tirx

from flextune.errors import UsageError
from flextune.tvm_types import Expression, PrimFunc, Tensor

DTYPES = ("float32", "float16")
REDUCTIONS = ("sum", "mean", "max")
SPATIAL, REDUCE = "S", "R"
_EPSILON = 1e-5


@dataclass(frozen=True, slots=True)
class ProgramBuilder:
    """A program of one name and element type; `build` makes it for symbols, and a layout that says what each is.

    `letters` are those that a layout may have.
    """

    name: str
    dtype: str
    letters: str
    define: Callable[[Sequence[Expression], str, str], list[Tensor]]

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise UsageError(f"{self.name}: dtype is one of {', '.join(DTYPES)}, got {self.dtype!r}")

    def build(self, sizes: Sequence[Expression], layout: str) -> PrimFunc:
        """The program; parameters are the inputs, then the output. UsageError for a layout that it does not know."""
        if len(layout) != len(sizes) or set(layout) - set(self.letters):
            letters = " and ".join(self.letters)
            raise UsageError(f"{self.name}: the layout has a letter ({letters}) for each dimension, got {layout!r}")
        return te.create_prim_func(self.define(sizes, layout, self.dtype))


def build_layernorm_program(dtype: str = "float32") -> ProgramBuilder:
    """(x - mean) / sqrt(variance + 1e-5) over the axes R of a layout such as SR."""
    return ProgramBuilder("layernorm", dtype, SPATIAL + REDUCE, _layernorm)


def build_softmax_program(dtype: str = "float32") -> ProgramBuilder:
    """The softmax over the axes R."""
    return ProgramBuilder("softmax", dtype, SPATIAL + REDUCE, _softmax)


def build_reduce_program(operation: str = "sum", dtype: str = "float32") -> ProgramBuilder:
    """The sum, mean or maximum over the axes R."""
    if operation not in REDUCTIONS:
        raise UsageError(f"a reduction is one of {', '.join(REDUCTIONS)}, got {operation!r}")

    def define(sizes: Sequence[Expression], layout: str, dtype: str) -> list[Tensor]:
        rows = _Rows(sizes, layout, dtype)
        if operation == "max":
            return rows.finished(rows.reduced(_itself, te.max, "max"))
        sums = rows.reduced(_itself, te.sum, "sum")
        return rows.finished(sums if operation == "sum" else rows.per_row(lambda at: at(sums) * rows.share, "mean"))

    return ProgramBuilder(f"reduce_{operation}", dtype, SPATIAL + REDUCE, define)


def build_resnet_block_program(channels: int = 64, dtype: str = "float32") -> ProgramBuilder:
    """relu(conv(relu(conv(x, w1) + b1), w2) + b2 + x), 3x3 in NHWC; the layout NHW has the symbolic sizes."""
    if isinstance(channels, bool) or not isinstance(channels, int) or channels < 1:
        raise UsageError(f"a block has a whole number of channels, at least 1, got {channels!r}")

    def define(sizes: Sequence[Expression], layout: str, dtype: str) -> list[Tensor]:
        if layout != "NHW":
            raise UsageError(f"resnet_block: the layout is NHW, got {layout!r}")
        if dtype != "float32":
            raise UsageError("resnet_block: dtype is float32")
        n, h, w = sizes
        x = te.placeholder((n, h, w, channels), dtype, name="x")
        weights = [te.placeholder((3, 3, channels, channels), dtype, name=f"w{place}") for place in (1, 2)]
        biases = [te.placeholder((channels,), dtype, name=f"b{place}") for place in (1, 2)]
        inner = te.compute(
            (n, h, w, channels), _relu(_convolved(x, weights[0], "conv1"), biases[0], None), name="relu1"
        )
        last = te.compute((n, h, w, channels), _relu(_convolved(inner, weights[1], "conv2"), biases[1], x), name="out")
        return [x, weights[0], biases[0], weights[1], biases[1], last]

    return ProgramBuilder("resnet_block", dtype, "NHW", define)


def _convolved(data: Tensor, weight: Tensor, name: str) -> Tensor:
    n, h, w, channels = data.shape

    def at(b: Expression, y: Expression, x: Expression, c: Expression) -> Expression:
        inside = tirx.all(y >= 1, y < h + 1, x >= 1, x < w + 1)
        return tirx.if_then_else(inside, data[b, y - 1, x - 1, c], tirx.const(0, data.dtype))

    padded = te.compute((n, h + 2, w + 2, channels), at, name=f"{name}_pad")
    ry, rx, rc = (te.reduce_axis((0, size), axis) for size, axis in ((3, "ry"), (3, "rx"), (channels, "rc")))

    def element(b: Expression, y: Expression, x: Expression, c: Expression) -> Expression:
        return te.sum(padded[b, y + ry, x + rx, rc] * weight[ry, rx, rc, c], axis=[ry, rx, rc])

    return te.compute((n, h, w, weight.shape[3]), element, name=name)


def _relu(value: Tensor, bias: Tensor, residual: Tensor | None) -> Callable[..., Expression]:
    def element(b: Expression, y: Expression, x: Expression, c: Expression) -> Expression:
        total = value[b, y, x, c] + bias[c]
        return tirx.max(total if residual is None else total + residual[b, y, x, c], tirx.const(0, "float32"))

    return element


class _Rows:
    """An input with axes that are reduced, and what is computed from it in float32."""

    def __init__(self, sizes: Sequence[Expression], layout: str, dtype: str) -> None:
        if REDUCE not in layout:
            raise UsageError(f"a layout without R, {layout!r}, reduces nothing")
        self.sizes, self.layout, self.dtype = list(sizes), layout, dtype
        self.data = te.placeholder(tuple(sizes), dtype, name="x")
        self.kept = [place for place, letter in enumerate(layout) if letter == SPATIAL]
        self.lost = [place for place, letter in enumerate(layout) if letter == REDUCE]
        count: Expression = 1
        for place in self.lost:
            count = sizes[place] * count
        self.share = tirx.const(1.0, "float32") / count.astype("float32")

    @property
    def shape(self) -> tuple[Expression, ...]:
        return tuple(self.sizes[place] for place in self.kept) or (1,)

    def reduced(self, term: Callable[..., Expression], over: Callable[..., Expression], name: str) -> Tensor:
        """Over the axes R of `term(element, row)`, where `row` is the place along the axes S."""
        axes = [te.reduce_axis((0, self.sizes[place]), f"r{place}") for place in self.lost]

        def element(*row: Expression) -> Expression:
            places = {**dict(zip(self.kept, row, strict=False)), **dict(zip(self.lost, axes, strict=True))}
            value = self.data(*(places[place] for place in range(len(self.sizes)))).astype("float32")
            return over(term(value, row), axis=axes)

        return te.compute(self.shape, element, name=name)

    def per_row(self, value: Callable[[Callable[[Tensor], Expression]], Expression], name: str) -> Tensor:
        return te.compute(self.shape, lambda *row: value(lambda tensor: tensor(*row)), name=name)

    def everywhere(self, value: Callable[..., Expression], name: str, dtype: str = "float32") -> Tensor:
        """`value(element, at)` for every element, `at` giving a row's number."""

        def element(*index: Expression) -> Expression:
            row = tuple(index[place] for place in self.kept) or (0,)
            return value(self.data(*index).astype("float32"), lambda tensor: tensor(*row)).astype(dtype)

        return te.compute(tuple(self.sizes), element, name=name)

    def finished(self, result: Tensor) -> list[Tensor]:
        """With the input, and cast to the element type where that is another one."""
        if str(result.dtype) == self.dtype:
            return [self.data, result]
        return [self.data, te.compute(result.shape, lambda *index: result(*index).astype(self.dtype), name="out")]


def _itself(value: Expression, row: Sequence[Expression]) -> Expression:
    del row
    return value


def _layernorm(sizes: Sequence[Expression], layout: str, dtype: str) -> list[Tensor]:
    rows = _Rows(sizes, layout, dtype)
    total = rows.reduced(_itself, te.sum, "sum")

    def squared(value: Expression, row: Sequence[Expression]) -> Expression:
        off = value - total(*row) * rows.share
        return off * off

    squares = rows.reduced(squared, te.sum, "squares")

    def normal(value: Expression, at: Callable[[Tensor], Expression]) -> Expression:
        deviation = tirx.sqrt(at(squares) * rows.share + tirx.const(_EPSILON, "float32"))
        return (value - at(total) * rows.share) / deviation

    return [rows.data, rows.everywhere(normal, "layernorm", dtype)]


def _softmax(sizes: Sequence[Expression], layout: str, dtype: str) -> list[Tensor]:
    rows = _Rows(sizes, layout, dtype)
    peak = rows.reduced(_itself, te.max, "max")
    total = rows.reduced(lambda value, row: tirx.exp(value - peak(*row)), te.sum, "sum")
    return [rows.data, rows.everywhere(lambda value, at: tirx.exp(value - at(peak)) / at(total), "softmax", dtype)]
