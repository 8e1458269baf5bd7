"""Max-unpooling: each element goes back to where a max-pooling found it, and the rest is zero."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from flextune.tvm_types import Expression, Tensor
from flextune.workload.element_type import INT32, element_type
from flextune.workload.operator import Operator
from flextune.workload.operator_parameters import Choice, Parameter, Params, PerDimension, Size
from flextune.workload.tensor import TensorSpec
from flextune.workload.windows import spatial_names

if TYPE_CHECKING:
    from flextune.workload.tensor_builder import TensorBuilder

_MOST_WINDOWS = 49


@dataclass(frozen=True, slots=True)
class _Axis:
    """The windows along one spatial axis: that of input element q begins at q * stride - pad of the output."""

    extent: int
    """Of the input, which is the number of windows."""
    kernel: int
    """Elements of the output in a window."""
    stride: int
    """Elements between neighbouring windows."""
    pad: int
    """What the first window reaches beyond the output."""

    @property
    def result(self) -> int:
        return (self.extent - 1) * self.stride - 2 * self.pad + self.kernel

    @property
    def overlap(self) -> int:
        """How many windows an element of the output lies in at most."""
        return math.ceil(self.kernel / self.stride)

    def window(self, build: TensorBuilder, place: Expression, behind: int) -> tuple[Expression, list[Expression]]:
        """The window `behind` the last one that begins before `place`, and when `place` is in it.

        Only conditions that can fail are given. Where there may be no such window, the nearest is given.
        """
        shifted = place + self.pad if self.pad else place
        found = (
            build.divide_floor(shifted, self.stride) - behind if behind else build.divide_floor(shifted, self.stride)
        )
        conditions = []
        if self.kernel - behind * self.stride < self.stride:
            conditions.append(shifted - found * self.stride < self.kernel)
        if self.overlap > 1:
            conditions += [found >= 0, found < self.extent]
            found = build.minimum(build.maximum(found, 0), self.extent - 1)
        return found, conditions

    def span(self) -> tuple[np.ndarray, np.ndarray]:
        """The first element of each window, and the one behind its last, as far as they lie in the output."""
        start = np.arange(self.extent) * self.stride - self.pad
        return np.maximum(start, 0), np.minimum(start + self.kernel, self.result)


class MaxUnpool(Operator):
    """out[n, c, position[n, c, y]] = data[n, c, y], and zero elsewhere, for every channel of every image.

    Positions count the elements of one output channel, row by row, as PyTorch's and ONNX's do. The output has
    (h - 1) * stride - 2 * pad + kh rows, and an element stays in the window of its own: rows y * stride - pad to
    y * stride - pad + kh - 1. A position outside of it, which no max-pooling gives, is dropped. Where windows overlap
    and several elements have one position, the last one counts.
    """

    dimensions: ClassVar[int]

    def axes(self, params: Params) -> tuple[_Axis, ...]:
        names = spatial_names(self.dimensions)
        extents, kernel = params.integers(*names), params.integers(*(f"k{name}" for name in names))
        stride, pad = (params.per_dimension(name, self.dimensions) for name in ("stride", "pad"))
        return tuple(itertools.starmap(_Axis, zip(extents, kernel, stride, pad, strict=True)))

    def check(self, params: Params) -> None:
        axes = self.axes(params)
        result = [axis.result for axis in axes]
        if min(result) < 1:
            raise params.error(f"pad={params.text('pad')} leaves an output of {result} elements")
        if any(axis.pad >= axis.kernel for axis in axes):
            raise params.error(f"pad={params.text('pad')} must be smaller than the kernel, or windows are empty")
        if math.prod(axis.overlap for axis in axes) > _MOST_WINDOWS:
            raise params.error(f"more than {_MOST_WINDOWS} windows overlap in one element: use a larger stride")

    def inputs(self, params: Params) -> tuple[TensorSpec, ...]:
        shape = (*params.integers("n", "c"), *(axis.extent for axis in self.axes(params)))
        return TensorSpec("data", shape, element_type(params.text("dtype"))), TensorSpec("position", shape, INT32)

    def output(self, params: Params) -> TensorSpec:
        shape = (*params.integers("n", "c"), *(axis.result for axis in self.axes(params)))
        return TensorSpec("out", shape, element_type(params.text("dtype")))

    def flops(self, params: Params) -> int:
        del params
        return 0

    def random_inputs(self, params: Params, rng: np.random.Generator) -> list[np.ndarray]:
        """Positions anywhere in the window of each element, as far as it lies in the output."""
        data, position = self.inputs(params)
        place = np.zeros(position.shape, dtype=np.int64)
        for number, axis in enumerate(self.axes(params), 2):
            low, high = (_along(number, place.ndim, each) for each in axis.span())
            place = place * axis.result + rng.integers(low, high, size=position.shape)
        return [data.element.random(data.shape, rng), place.astype(np.int32)]

    def expression(self, build: TensorBuilder, params: Params, tensors: Sequence[Tensor]) -> Tensor:
        (data, position), axes = tensors, self.axes(params)

        def element(batch: Expression, channel: Expression, *point: Expression) -> Expression:
            place = point[0]
            for index, axis in zip(point[1:], axes[1:], strict=True):
                place = place * axis.result + index
            value = build.constant(0, self.output(params).dtype)
            for behind in itertools.product(*(range(axis.overlap)[::-1] for axis in axes)):
                found = [axis.window(build, *each) for axis, *each in zip(axes, point, behind, strict=True)]
                source = (batch, channel, *(window for window, _ in found))
                conditions = [condition for _, inside in found for condition in inside]
                value = build.choose([*conditions, position[source] == place], data[source], value)
            return value

        names = ("n", "c", *(f"o{name}" for name in spatial_names(self.dimensions)))
        return build.compute(self.output(params).shape, element, self.name, names)

    def reference(self, params: Params, arrays: Sequence[np.ndarray]) -> np.ndarray:
        data, position = self.output(params).element.decode(arrays[0]), arrays[1].astype(np.int64)
        axes, images = self.axes(params), math.prod(params.integers("n", "c"))
        kept, rest = (position >= 0) & (position < math.prod(axis.result for axis in axes)), position
        for number, axis in reversed(list(enumerate(axes, 2))):
            low, high = (_along(number, position.ndim, each) for each in axis.span())
            kept &= (rest % axis.result >= low) & (rest % axis.result < high)
            rest = rest // axis.result
        out = np.zeros((images, math.prod(axis.result for axis in axes)), dtype=data.dtype)
        flat = (array.reshape(images, -1) for array in (data, position, kept))
        for target, values, places, valid in zip(out, *flat, strict=True):
            target[places[valid]] = values[valid]
        return out.reshape(self.output(params).shape)


def _along(axis: int, dimensions: int, values: np.ndarray) -> np.ndarray:
    """A vector as an array that varies along one axis alone."""
    return values.reshape([-1 if each == axis else 1 for each in range(dimensions)])


def _parameters(dimensions: int) -> tuple[Parameter, ...]:
    names = spatial_names(dimensions)
    return (
        Size("n", 1),
        Size("c"),
        *(Size(name) for name in names),
        *(Size(f"k{name}") for name in names),
        PerDimension("stride", dimensions=dimensions),
        PerDimension("pad", 0, dimensions=dimensions, minimum=0),
        Choice("dtype", "float32", choices=("float32", "bfloat16"), printed=True),
    )


class MaxUnpool1d(MaxUnpool):
    name = "max_unpool1d"
    dimensions = 1
    parameters = _parameters(1)


class MaxUnpool2d(MaxUnpool):
    name = "max_unpool2d"
    dimensions = 2
    parameters = _parameters(2)


MAX_UNPOOL1D = MaxUnpool1d()
MAX_UNPOOL2D = MaxUnpool2d()
