"""About how many cycles a schedule takes, without running it: what picks the default, and ranks nothing else."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from flextune.platforms.vta.form import Form
from flextune.platforms.vta.hardware import BLOCK, Hardware
from flextune.platforms.vta.tiling import PIXELS_OUTER

Column = npt.NDArray[np.int64]


def cycles_of(form: Form, hardware: Hardware, columns: Mapping[str, Column]) -> npt.NDArray[np.float64]:
    """Of members of the space: the longest of computing, loading and storing, or their sum where one slot is all.

    Every instruction pays for its start, every byte for the bus, which all modules share.
    """
    out, depth = form.names
    tiles, steps, images = columns["tiles"], columns["steps"], form.groups * form.images
    sums = columns["sum_bytes"] // (4 * BLOCK)
    products = sums * (columns[f"tile_{depth}"] // BLOCK) * form.taps
    passes = len(form.epilogue) + hardware.planes - 1
    compute = steps * (products + hardware.fill) + tiles * (sums + hardware.fill)
    compute = compute + tiles * passes * (hardware.alu_cycles * sums + hardware.fill)

    one_sum, is_outer = columns[f"steps_{depth}"] == 1, columns["order"] == PIXELS_OUTER
    input_loads = np.where(one_sum & is_outer, tiles // columns[f"steps_{out}"], steps)
    weight_loads = np.where(one_sum & ~is_outer, images * columns[f"steps_{out}"], steps)
    pieces = 1 if form.rows.result == 1 and form.rows.extent == 1 else columns[f"blocks_{depth}"]
    bus = (input_loads * columns["input_bytes"] + weight_loads * columns["weight_bytes"]) / hardware.bus_bytes
    load = bus + hardware.latency * (input_loads * pieces + weight_loads)
    stored = tiles * columns["sum_bytes"] / hardware.bus_bytes
    store = stored + tiles * hardware.latency * hardware.planes

    first = load / np.maximum(steps, 1) + store / np.maximum(tiles, 1)  # nothing goes on beside these
    alone = np.where(columns["load_slots"] == 1, load, 0) + np.where(columns["store_slots"] == 1, store, 0)
    return np.asarray(first + np.maximum.reduce([compute + alone, load, store, bus + stored]), dtype=np.float64)
