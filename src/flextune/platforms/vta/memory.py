"""The accelerator's memory as the host fills and reads it: operands in blocks of 16 channels, results likewise.

Between the layers of a model tensors stay in blocks, so bringing them into these is not counted as the accelerator's.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from flextune.platforms.base import Array
from flextune.platforms.vta.form import Operands
from flextune.platforms.vta.hardware import BLOCK
from flextune.platforms.vta.tiling import AxisTiles, Layout, Tiling

Memory = npt.NDArray[np.uint8]


def image_of(tiling: Tiling, operands: Operands, micro_ops: npt.NDArray[np.uint32]) -> Memory:
    """All regions of `Layout`; the outputs hold zeros."""
    layout = Layout.of(tiling)
    memory = np.zeros(layout.micro_ops + micro_ops.nbytes, dtype=np.uint8)
    _put(memory, layout.weights, _blocked_weight(tiling, operands.weight))
    _put(memory, layout.inputs, _blocked_data(tiling, operands.data))
    if operands.biases:
        _put(memory, layout.biases, _blocked_biases(tiling, operands.biases))
    _put(memory, layout.micro_ops, micro_ops)
    return memory


def result_in(tiling: Tiling, memory: Memory) -> Array:
    """Results as int32 [g, n, o, y, x], without what was padded."""
    layout, planes = Layout.of(tiling), tiling.hardware.planes
    count = tiling.result_entries * BLOCK
    stored = memory[layout.outputs : layout.outputs + 4 * count].reshape(planes, count, -1)
    # byte by byte: the first plane holds the lowest
    sums = np.ascontiguousarray(np.moveaxis(stored, 0, 1)).reshape(count, 4).view("<i4")
    form, rows, columns = tiling.form, tiling.rows, tiling.columns
    blocked = sums.reshape(
        *(form.groups, form.images, tiling.steps_out * tiling.blocks_out),
        *(rows.padded_result, columns.padded_result, BLOCK),
    )
    channels = np.moveaxis(blocked, -1, 3).reshape(
        form.groups, form.images, -1, rows.padded_result, columns.padded_result
    )
    return channels[:, :, : form.channels_out, : rows.axis.result, : columns.axis.result]


def _put(memory: Memory, begin: int, array: Array) -> None:
    flat = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    memory[begin : begin + flat.size] = flat


def _blocked_weight(tiling: Tiling, weight: Array) -> Array:
    """[g, o, i, taps] as [g, o / 16, i / 16, taps, 16 of o, 16 of i]."""
    form = tiling.form
    blocks_out, blocks_in = tiling.steps_out * tiling.blocks_out, tiling.steps_in * tiling.blocks_in
    padded = np.zeros((form.groups, blocks_out * BLOCK, blocks_in * BLOCK, form.taps), dtype=np.int8)
    padded[:, : form.channels_out, : form.channels_in] = weight
    split = padded.reshape(form.groups, blocks_out, BLOCK, blocks_in, BLOCK, form.taps)
    return split.transpose(0, 1, 3, 5, 2, 4)


def _blocked_data(tiling: Tiling, data: Array) -> Array:
    """[g, n, i, y, x] as [g, n, i / 16, y, x, 16 of i], with margins where LOAD adds none."""
    form, blocks_in = tiling.form, tiling.steps_in * tiling.blocks_in
    shape = (form.groups, form.images, blocks_in * BLOCK, tiling.rows.stored, tiling.columns.stored)
    padded = np.zeros(shape, dtype=np.int8)
    (rows, from_rows), (columns, from_columns) = _inside(tiling.rows), _inside(tiling.columns)
    padded[:, :, : form.channels_in, rows, columns] = data[:, :, :, from_rows, from_columns]
    return np.moveaxis(padded.reshape(form.groups, form.images, blocks_in, BLOCK, *shape[3:]), 3, -1)


def _inside(tiles: AxisTiles) -> tuple[slice, slice]:
    """Where the input lies among the stored points, and which of it: what no output point reads may be cut off."""
    count = max(0, min(tiles.axis.extent, tiles.stored - tiles.margin))
    return slice(tiles.margin, tiles.margin + count), slice(0, count)


def _blocked_biases(tiling: Tiling, biases: tuple[Array, ...]) -> Array:
    form = tiling.form
    padded = np.zeros((len(biases), form.groups, tiling.steps_out * tiling.blocks_out * BLOCK), dtype=np.int32)
    padded[:, :, : form.channels_out] = np.stack(biases)
    return padded
