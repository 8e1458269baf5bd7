"""Sliding windows: the shapes of convolutions and pooling, and NumPy's view of the windows of one image."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from flextune.tvm_types import Expression
from flextune.workload.operator_parameters import Params

SPATIAL = "dhw"


@dataclass(frozen=True, slots=True)
class Window:
    """The window of a convolution or pooling, one number per spatial dimension."""

    extents: tuple[int, ...]
    """Of the data."""
    kernel: tuple[int, ...]
    """Taps."""
    stride: tuple[int, ...]
    """Elements between neighbouring windows."""
    dilation: tuple[int, ...]
    """Elements between neighbouring taps."""
    before: tuple[int, ...]
    """Zeros before the data."""
    after: tuple[int, ...]
    """Zeros behind the data."""

    @property
    def dimensions(self) -> int:
        return len(self.extents)

    @property
    def padded(self) -> tuple[int, ...]:
        return tuple(e + b + a for e, b, a in zip(self.extents, self.before, self.after, strict=True))

    @property
    def spans(self) -> tuple[int, ...]:
        """How far a window reaches, with its dilation."""
        return tuple(d * (k - 1) + 1 for d, k in zip(self.dilation, self.kernel, strict=True))

    @property
    def result(self) -> tuple[int, ...]:
        return tuple((p - w) // s + 1 for p, w, s in zip(self.padded, self.spans, self.stride, strict=True))


def spatial_names(dimensions: int) -> str:
    """`w`, `hw` or `dhw`."""
    return SPATIAL[-dimensions:]


def read_window(params: Params, dimensions: int) -> Window:
    """The window that the parameters h, kh, stride, dilation, pad (and their like) describe."""
    names = spatial_names(dimensions)
    before, after = params.pads(dimensions)
    return Window(
        params.integers(*names),
        params.integers(*(f"k{name}" for name in names)),
        params.per_dimension("stride", dimensions),
        params.per_dimension("dilation", dimensions),
        before,
        after,
    )


def check_window(params: Params, window: Window) -> None:
    """Raises `UsageError` when the window is larger than the padded input."""
    for name, span, padded in zip(spatial_names(window.dimensions), window.spans, window.padded, strict=True):
        if span > padded:
            raise params.error(
                f"the kernel covers {span} elements along {name}, but the padded input has {padded}: "
                f"enlarge {name} or pad, or use a smaller k{name} or dilation"
            )


def channels_last(array: np.ndarray, layout: str) -> np.ndarray:
    """A view with the channel as the last axis."""
    return array if layout.endswith("c") else np.moveaxis(array, 1, -1)


def layout_shape(layout: str, batch: int, spatial: tuple[int, ...], channels: int) -> tuple[int, ...]:
    return (batch, *spatial, channels) if layout.endswith("c") else (batch, channels, *spatial)


def result_axes(layout: str, channel: str) -> tuple[str, ...]:
    """Loop names of a result: `n`, `oh`, `ow` and the given name of its channels, in the order of the layout."""
    return tuple({"n": "n", "c": channel}.get(letter, f"o{letter}") for letter in layout)


def pad_image(image: np.ndarray, window: Window, value: float = 0) -> np.ndarray:
    """One image (spatial axes, then channels) with its padding."""
    widths = [*zip(window.before, window.after, strict=True), (0, 0)]
    return np.pad(image, widths, constant_values=value)


def window_slices(window: Window) -> Iterator[tuple[tuple[int, ...], tuple[slice, ...]]]:
    """For each kernel position, the slices of the padded image that it meets, one per spatial axis."""
    for position in np.ndindex(*window.kernel):
        starts = [p * d for p, d in zip(position, window.dilation, strict=True)]
        yield (
            position,
            tuple(
                slice(start, start + (count - 1) * step + 1, step)
                for start, count, step in zip(starts, window.result, window.stride, strict=True)
            ),
        )


def gather_windows(padded: np.ndarray, window: Window, first_row: int, last_row: int) -> np.ndarray:
    """The windows of the output rows `first_row:last_row`, as an array [points, kernel positions, channels]."""
    rows = last_row - first_row
    points = rows * math.prod(window.result[1:])
    channels = padded.shape[-1]
    gathered = np.empty((points, math.prod(window.kernel), channels), dtype=padded.dtype)
    for number, (position, slices) in enumerate(window_slices(window)):
        start = position[0] * window.dilation[0] + first_row * window.stride[0]
        step = window.stride[0]
        row_slice = slice(start, start + (rows - 1) * step + 1, step)
        gathered[:, number] = padded[(row_slice, *slices[1:])].reshape(points, channels)
    return gathered


def affine(point: Expression, stride: int, tap: Expression, dilation: int) -> Expression:
    """point * stride + tap * dilation, without multiplications by one."""
    return (point if stride == 1 else point * stride) + (tap if dilation == 1 else tap * dilation)
