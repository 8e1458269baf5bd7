"""Reads between the elements of an image, at computed places: `GridSample` and `DeformConv`.

An image becomes rows of channels, and the neighbours of each place are gathered as such rows and weighted:

before: y = GridSample(x[N,C,H,W], g)
after:  y = w00 * Gather(rows, i00) + w01 * Gather(rows, i01) + ..., transposed
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from flextune.importing.onnx_graph import attribute
from flextune.importing.simplify.writer import INT64, Writer

CUBIC = -0.75
"""The coefficient of cubic interpolation, which ONNX fixes (Keys, 1981)."""

Neighbours = list[tuple[str, str]]
"""Along one axis: places of neighbours as whole numbers in floats, and their weights; no weight is 1."""


def grid_sample(write: Writer) -> None:
    """An image of any rank at the places of a grid (ONNX operators, "GridSample")."""
    image, grid = write.input(0), write.input(1)
    batch, channels, *sizes = write.shape(image)
    outputs = write.shape(grid)[1:-1]
    points = math.prod(outputs)
    mode, padding = attribute(write.node, "mode", "linear"), attribute(write.node, "padding_mode", "zeros")
    align = bool(attribute(write.node, "align_corners", 0))
    flat = write.shaped(
        write.cast(grid, write.kind(image)) if write.kind(grid) != write.kind(image) else grid,
        (batch, points, len(sizes)),
    )
    axes = []
    for axis, size in enumerate(sizes):
        part = write.sliced(flat, 2, len(sizes) - 1 - axis, len(sizes) - axis)
        place = _between_elements(write, write.shaped(part, (batch * points, 1)), size, align)
        axes.append(_neighbours(write, place, _Axis(size, padding, align), mode))
    rows = _rows(write, image, (batch, channels, math.prod(sizes)))
    first = write.integers(np.repeat(np.arange(batch) * math.prod(sizes), points))
    sampling = _Sampling(rows, first, tuple(_Axis(size, padding, align) for size in sizes))
    found = sampling.sampled(write, axes, (batch * points,))
    moved = write.transposed(write.shaped(found, (batch, points, channels)), (0, 2, 1))
    write.shaped(moved, (batch, channels, *outputs), write.output(0))


def deformable_convolution(write: Writer) -> None:
    """A convolution whose elements are read beside their places, by an offset for each (Dai et al., 2017)."""
    image, weight, offset = (write.input(place) for place in range(3))
    batch, channels, *sizes = write.shape(image)
    results, per_group, *kernel = write.shape(weight)
    if len(sizes) != 2:
        write.refuse("only images of two axes are supported")
    groups, parts = attribute(write.node, "group", 1), attribute(write.node, "offset_group", 1)
    strides, dilations = (attribute(write.node, name, (1, 1)) for name in ("strides", "dilations"))
    pads = attribute(write.node, "pads", (0, 0, 0, 0))
    outputs = write.shape(offset)[2:]
    taps, points = math.prod(kernel), math.prod(outputs)
    if channels != per_group * groups or channels % parts or write.shape(offset)[1] != parts * taps * 2:
        write.refuse("channels, groups and offsets do not go together")
    moves = write.shaped(offset, (batch, parts, taps, 2, points))
    axes, offsets = [], np.indices(kernel).reshape(2, taps, 1)
    starts = np.indices(outputs).reshape(2, 1, points)
    for axis in range(2):
        fixed = offsets[axis] * dilations[axis] + starts[axis] * strides[axis] - pads[axis]
        move = write.shaped(write.sliced(moves, 3, axis, axis + 1), (batch, parts, taps, points))
        place = write.shaped(write.emit("Add", [move, write.number(fixed)]), (batch * parts * taps * points, 1))
        axes.append(_neighbours(write, place, _Axis(sizes[axis], "zeros", True), "linear"))
    rows = _rows(write, image, (batch * parts, channels // parts, math.prod(sizes)))
    first = write.integers(np.repeat(np.arange(batch * parts) * math.prod(sizes), taps * points))
    sampling = _Sampling(rows, first, tuple(_Axis(size, "zeros", True) for size in sizes))
    found = sampling.sampled(write, axes, (batch * parts * taps * points,))
    if write.input(4):
        found = write.emit("Mul", [found, write.shaped(write.input(4), (batch * parts * taps * points, 1))])
    spread = write.shaped(found, (batch, parts, taps, points, channels // parts))
    columns = write.shaped(write.transposed(spread, (0, 1, 4, 2, 3)), (batch, groups, per_group * taps, points))
    matrix = write.shaped(weight, (groups, results // groups, per_group * taps))
    total = write.shaped(
        write.emit("MatMul", [matrix, columns]), (batch, results, *outputs), "" if write.input(3) else write.output(0)
    )
    if write.input(3):
        write.emit("Add", [total, write.shaped(write.input(3), (-1, 1, 1))], write.output(0))


@dataclass(frozen=True, slots=True)
class _Axis:
    size: int
    """Elements."""
    padding: str
    """`zeros`, `border` or `reflection`: what is read beyond them."""
    align: bool
    """Whether the ends are the centres of the outermost elements, not their edges."""


@dataclass(frozen=True, slots=True)
class _Sampling:
    rows: str
    """Rows of channels, one for each element of all images."""
    first: str
    """For each place the row of its image's first element."""
    axes: tuple[_Axis, ...]

    def sampled(self, write: Writer, neighbours: Sequence[Neighbours], places: tuple[int]) -> str:
        """For each place the weighted sum of its neighbours' rows."""
        found = [
            [self._read(write, axis, near) for near in nears] for axis, nears in zip(self.axes, neighbours, strict=True)
        ]
        terms = []
        for chosen in itertools.product(*found):
            index, inside, weight = self.first, "", ""
            for place, (at, valid, factor) in enumerate(chosen):
                stride = math.prod(each.size for each in self.axes[place + 1 :])
                step = write.emit("Mul", [at, write.integers(stride)]) if stride > 1 else at
                index = write.emit("Add", [index, step])
                inside = write.emit("And", [inside, valid]) if inside and valid else inside or valid
                weight = write.emit("Mul", [weight, factor]) if weight and factor else weight or factor
            row = write.emit("Gather", [self.rows, index], axis=0)
            if inside:
                row = write.emit("Where", [write.shaped(inside, (*places, 1)), row, write.number(0)])
            terms.append(write.emit("Mul", [row, write.shaped(weight, (*places, 1))]) if weight else row)
        return write.chain("Add", terms)

    def _read(self, write: Writer, axis: _Axis, near: tuple[str, str]) -> tuple[str, str, str]:
        """The element that stands for a neighbour, whether it is one (empty: always), and its weight."""
        at, weight = near
        zero, last = write.number(0), write.number(axis.size - 1)
        valid = ""
        if axis.padding == "zeros":
            below, beyond = write.emit("Less", [at, zero]), write.emit("Greater", [at, last])
            valid = write.shaped(write.emit("Not", [write.emit("Or", [below, beyond])]), (-1,))
        elif axis.padding == "reflection":
            at = _reflected(write, at, axis)
        at = write.emit("Min", [write.emit("Max", [at, zero]), last])
        return write.shaped(write.cast(at, INT64), (-1,)), valid, write.shaped(weight, (-1,)) if weight else ""


def _rows(write: Writer, image: str, sizes: tuple[int, int, int]) -> str:
    images, channels, elements = sizes
    last = write.transposed(write.shaped(image, sizes), (0, 2, 1))
    return write.shaped(last, (images * elements, channels))


def _between_elements(write: Writer, place: str, size: int, align: bool) -> str:
    """From -1 to 1 along an axis to the numbers of its elements."""
    from_start = write.emit("Add", [place, write.number(1)])
    if align:
        half = write.emit("Div", [from_start, write.number(2)])
        return write.emit("Mul", [half, write.number(size - 1)])
    edge = write.emit("Sub", [write.emit("Mul", [from_start, write.number(size)]), write.number(1)])
    return write.emit("Div", [edge, write.number(2)])


def _neighbours(write: Writer, place: str, axis: _Axis, mode: str) -> Neighbours:
    """The elements around each place with their weights."""
    if mode not in ("nearest", "linear", "cubic"):
        write.refuse(f"the mode {mode} is not supported")
    if mode == "nearest":
        place = write.emit("Round", [place])
    if axis.padding == "border" and mode != "cubic":  # whose neighbours are at the border one by one
        place = write.emit("Min", [write.emit("Max", [place, write.number(0)]), write.number(axis.size - 1)])
    elif axis.padding == "reflection":
        place = _reflected(write, place, axis)
    if mode == "nearest":
        return [(place, "")]
    floor = write.emit("Floor", [place])
    part = write.emit("Sub", [place, floor])
    rest = write.emit("Sub", [write.number(1), part])
    after = write.emit("Add", [floor, write.number(1)])
    if mode == "linear":
        return [(floor, rest), (after, part)]
    outer = [write.emit("Add", [floor, write.number(-1)]), write.emit("Add", [floor, write.number(2)])]
    return [
        (outer[0], _far(write, write.emit("Add", [part, write.number(1)]))),
        (floor, _near(write, part)),
        (after, _near(write, rest)),
        (outer[1], _far(write, write.emit("Add", [rest, write.number(1)]))),
    ]


def _reflected(write: Writer, place: str, axis: _Axis) -> str:
    """Mirrored at both ends until it is between them."""
    start, width = (0.0, axis.size - 1.0) if axis.align else (-0.5, float(axis.size))
    if width == 0:
        return write.emit("Mul", [place, write.number(0)])
    distance = write.emit("Abs", [write.emit("Sub", [place, write.number(start)])])
    double = write.number(2 * width)
    periods = write.emit("Floor", [write.emit("Div", [distance, double])])
    within = write.emit("Sub", [distance, write.emit("Mul", [periods, double])])
    mirrored = write.emit("Min", [within, write.emit("Sub", [double, within])])
    return write.emit("Add", [mirrored, write.number(start)])


def _polynomial(write: Writer, value: str, coefficients: Sequence[float]) -> str:
    """The highest power first."""
    total = write.number(coefficients[0])
    for coefficient in coefficients[1:]:
        product = write.emit("Mul", [total, value])
        total = write.emit("Add", [product, write.number(coefficient)]) if coefficient else product
    return total


def _near(write: Writer, distance: str) -> str:
    """The cubic weight at a distance up to 1."""
    return _polynomial(write, distance, (CUBIC + 2, -(CUBIC + 3), 0, 1))


def _far(write: Writer, distance: str) -> str:
    """The cubic weight at a distance from 1 to 2."""
    return _polynomial(write, distance, (CUBIC, -5 * CUBIC, 8 * CUBIC, -4 * CUBIC))
