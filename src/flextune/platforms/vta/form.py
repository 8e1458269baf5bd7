"""Every product that VTA computes, seen as one kind of convolution: what space, code and data are made from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from flextune.errors import UsageError
from flextune.platforms.base import Array
from flextune.workload.operator_parameters import Params
from flextune.workload.windows import read_window
from flextune.workload.workload import Workload

_OPERATORS = ("gemm", "bmm", "gemv", "conv1d", "conv2d")
_EPILOGUES = ("bias", "relu")


@dataclass(frozen=True, slots=True)
class Axis:
    """One spatial axis: how output points read input points, `output * stride + tap * dilation - before`."""

    name: str
    """In variables of a space."""
    extent: int
    """Of the input."""
    result: int
    """Of the output."""
    taps: int = 1
    stride: int = 1
    dilation: int = 1
    before: int = 0
    """Zeros before the input."""

    def needed(self, tile: int) -> int:
        """Input points that a tile of so many output points reads."""
        return (tile - 1) * self.stride + (self.taps - 1) * self.dilation + 1


@dataclass(frozen=True, slots=True)
class Form:
    """`out[g, n, o, y, x] = sum over i and taps of data[g, n, i, y', x'] * weight[g, o, i, tap]`, and an epilogue.

    A matrix product is an image of one row and M columns with K channels, convolved with N kernels of one tap; a batch
    of them has a group for each.
    """

    groups: int
    images: int
    channels_in: int
    channels_out: int
    rows: Axis
    columns: Axis
    names: tuple[str, str]
    """Of the channels, out and in, in variables of a space."""
    epilogue: tuple[str, ...]
    """`bias` and `relu`, in order."""

    @property
    def taps(self) -> int:
        return self.rows.taps * self.columns.taps

    @property
    def multiply_adds(self) -> int:
        """Of the workload, without what is padded."""
        pixels = self.images * self.rows.result * self.columns.result
        return self.groups * pixels * self.channels_out * self.channels_in * self.taps

    @property
    def biases(self) -> int:
        return self.epilogue.count("bias")


def form_of(workload: Workload) -> Form:
    """Raises `UsageError` that says what VTA computes for any other workload."""
    if workload.operator not in _OPERATORS or workload.dtype != "int8":
        raise UsageError(
            f"vta computes {', '.join(_OPERATORS)} of dtype=int8 (signed operands, sums of 32 bits), not {workload}"
        )
    params = workload.checked_params
    epilogue = params.chain("epilogue")
    if other := [word for word in epilogue if word not in _EPILOGUES]:
        raise UsageError(f"vta has the epilogues {' and '.join(_EPILOGUES)}, not {other[0]}")
    return _convolution(params, epilogue) if "conv" in workload.operator else _product(params, epilogue)


def _product(params: Params, epilogue: tuple[str, ...]) -> Form:
    sizes = dict(params.items)
    if params.operator == "gemv":  # its matrix is the weight: so the vector is read once
        m, k = params.integers("m", "k")
        return Form(1, 1, k, m, Axis("row", 1, 1), Axis("n", 1, 1), ("m", "k"), epilogue)
    m, n, k = params.integers("m", "n", "k")
    groups = int(sizes.get("b", 1))
    return Form(groups, 1, k, n, Axis("row", 1, 1), Axis("m", m, m), ("n", "k"), epilogue)


def _convolution(params: Params, epilogue: tuple[str, ...]) -> Form:
    dimensions = int(params.operator[-2])
    window, groups = read_window(params, dimensions), params.integer("groups")
    n, ci, co = params.integers("n", "ci", "co")
    axes = [
        Axis(f"o{name}", *numbers)
        for name, numbers in zip(
            "hw"[-dimensions:],
            zip(
                *(window.extents, window.result, window.kernel, window.stride, window.dilation, window.before),
                strict=True,
            ),
            strict=True,
        )
    ]
    rows = axes[0] if dimensions == 2 else Axis("oh", 1, 1)
    return Form(groups, n, ci // groups, co // groups, rows, axes[-1], ("co", "ci"), epilogue)


@dataclass(frozen=True, slots=True)
class Operands:
    """A workload's arrays in the order of `Form`: data [g, n, i, y, x], weight [g, o, i, taps], biases [g, o]."""

    data: Array
    weight: Array
    biases: tuple[Array, ...]


def operands_of(workload: Workload, form: Form, arrays: Sequence[Array]) -> Operands:
    """Views of the inputs; nothing is copied that need not be."""
    data, weight = _convolved(workload, form, arrays) if "conv" in workload.operator else _multiplied(workload, arrays)
    data_shape = (form.groups, form.images, form.channels_in, form.rows.extent, form.columns.extent)
    weight_shape = (form.groups, form.channels_out, form.channels_in, form.taps)
    biases = (np.broadcast_to(each, (form.groups, form.channels_out)) for each in _by_group(workload, form, arrays[2:]))
    return Operands(data.reshape(data_shape), weight.reshape(weight_shape), tuple(biases))


def _by_group(workload: Workload, form: Form, biases: Sequence[Array]) -> list[Array]:
    """Of a convolution each group has its own channels; the products of a batch share theirs."""
    shape = (form.groups, -1) if "conv" in workload.operator else (1, -1)
    return [each.reshape(shape) for each in biases]


def _multiplied(workload: Workload, arrays: Sequence[Array]) -> tuple[Array, Array]:
    """Data as [..., k, m] and weight as [..., n, k]."""
    params = dict(workload.params)
    if workload.operator == "gemv":
        return arrays[1], arrays[0]
    data = arrays[0] if params.get("ta") else np.swapaxes(arrays[0], -1, -2)
    return data, arrays[1] if params.get("tb") else np.swapaxes(arrays[1], -1, -2)


def _convolved(workload: Workload, form: Form, arrays: Sequence[Array]) -> tuple[Array, Array]:
    data, weight = arrays[0], arrays[1]
    if str(workload.param("layout")).endswith("c"):
        data, weight = np.moveaxis(data, -1, 1), np.moveaxis(weight, (-1, -2), (0, 1))
    grouped = data.reshape(form.images, form.groups, form.channels_in, form.rows.extent, form.columns.extent)
    return np.swapaxes(grouped, 0, 1), weight


def put_result(workload: Workload, form: Form, result: Array, output: Array) -> None:
    """Write [g, n, o, y, x] into the workload's output."""
    if "conv" not in workload.operator:
        np.copyto(
            output, np.swapaxes(result.reshape(*output.shape[:-2], form.channels_out, -1), -1, -2).reshape(output.shape)
        )
        return
    pixels = (form.rows.result, form.columns.result) if workload.operator == "conv2d" else (form.columns.result,)
    by_image = np.swapaxes(result, 0, 1).reshape(form.images, form.groups * form.channels_out, *pixels)
    last = str(workload.param("layout")).endswith("c")
    np.copyto(output, np.moveaxis(by_image, 1, -1) if last else by_image)


def blocks(channels: int, block: int) -> int:
    """How many blocks hold so many channels."""
    return math.ceil(channels / block)
