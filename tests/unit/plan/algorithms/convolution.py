"""The direct 3x3 convolution in float64, which everything here is compared with."""

from __future__ import annotations

import numpy as np

from flextune.plan.algorithms.winograd_program import WinogradShape


def direct(data: np.ndarray, weight: np.ndarray, pads: tuple[int, int, int, int]) -> np.ndarray:
    """NHWC data, HWIO weights; pads top, left, bottom, right."""
    top, left, bottom, right = pads
    padded = np.pad(data.astype(np.float64), ((0, 0), (top, bottom), (left, right), (0, 0)))
    rows, columns = padded.shape[1] - 2, padded.shape[2] - 2
    taps = [
        padded[:, r : r + rows, s : s + columns] @ weight[r, s].astype(np.float64) for r in range(3) for s in range(3)
    ]
    return np.sum(taps, axis=0)


def random_arrays(shape: WinogradShape, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    data = rng.standard_normal((shape.batch, shape.height, shape.width, shape.ci), dtype=np.float32)
    return data, rng.standard_normal((3, 3, shape.ci, shape.co), dtype=np.float32)
