"""What the zero point of a quantised image adds to every sum of a convolution."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def convolution_offset(
    weights: np.ndarray,
    zero_point: int,
    image: Sequence[int],
    strides: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
) -> np.ndarray:
    """int32 offsets to subtract, so that padding by 0 counts like padding by the zero point.

    `weights` are OIHW, `padding` is (top, left, bottom, right). One offset per output channel, shaped [1, O, 1, 1],
    where no tap falls outside the image; else one per element of the result, [1, O, H, W].
    """
    taps = weights.astype(np.int64).sum(axis=1) * zero_point
    if not any(padding) or zero_point == 0:
        return np.asarray(taps.sum(axis=(1, 2)).reshape(1, -1, 1, 1).astype(np.int32))
    inside = np.pad(np.ones(tuple(image), np.int64), ((padding[0], padding[2]), (padding[1], padding[3])))
    kernel = weights.shape[2:]
    result = [(inside.shape[axis] - dilation[axis] * (kernel[axis] - 1) - 1) // strides[axis] + 1 for axis in range(2)]
    offset = np.zeros((weights.shape[0], *result), np.int64)
    for row in range(kernel[0]):
        for column in range(kernel[1]):
            covered = inside[
                row * dilation[0] :: strides[0],
                column * dilation[1] :: strides[1],
            ][: result[0], : result[1]]
            offset += taps[:, row, column, None, None] * covered
    return np.asarray(offset[None].astype(np.int32))
