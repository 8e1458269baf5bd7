"""An analytic model of an overlay's cycles, after FlexTensor's for FPGAs: the longest of reading, computing, writing.

It picks the default, and `python -m benchmarks.platforms.fpga --model` compares it with simulated cycles.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from flextune.platforms.fpga.schedule import ROWS_OUTER

PENDING = 4
"""Loads that an overlay has accepted and whose data is to come, at most."""

Column = npt.NDArray[np.int64]


def cycles_of(sizes: tuple[int, int, int, int], latency: int, columns: Mapping[str, Column]) -> npt.NDArray[np.float64]:
    """Of members of a space. A tile takes as long as the slowest of its three parts; the first waits for its operands.

    An operand whose pieces all stay is read once for a row of tiles; what comes last must still leave.
    """
    rows, lines = columns["rows"], columns["columns"]
    length, pieces = columns["tile_k"], columns["steps_k"]
    panels_m, panels_n, bus = columns["panels_m"], columns["panels_n"], columns["bus"]
    tiles = panels_m * panels_n
    rows_outer = columns["order"] == ROWS_OUTER
    holds = 2 * pieces <= columns["slots"]
    reads_a = np.where(holds & rows_outer, panels_m, tiles) * pieces * (length * rows // bus)
    reads_b = np.where(holds & ~rows_outer, panels_n, tiles) * pieces * (length * lines // bus)
    drain = rows * lines // columns["results"]
    settle = rows + lines + 2
    # The first tile hides nobody's results; the others wait until those before them have left.
    compute = pieces * length + (tiles - 1) * np.maximum(pieces * length, drain + settle + 1 - length * (pieces > 1))
    loads = tiles * pieces + np.where(holds, np.where(rows_outer, panels_m, panels_n), tiles) * pieces
    burst = length * (rows + lines) // bus
    in_flight = loads * (latency + burst / 2 + 1) / PENDING
    # Of a slot: freed, loaded with its neighbour, used.
    round_trip = tiles * pieces * (latency + burst + length) / columns["slots"]
    start = latency + burst
    longest = np.maximum.reduce([compute, reads_a + reads_b, in_flight, round_trip])
    return np.asarray(sizes[0] * (start + longest + settle + drain), dtype=np.float64)
