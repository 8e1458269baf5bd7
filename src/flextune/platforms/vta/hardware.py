"""What a VTA target can hold, in entries of its buffers, as code generation, constraints and the simulator need it."""

from __future__ import annotations

from dataclasses import dataclass

from flextune.errors import UsageError
from flextune.target.target import Target

BLOCK = 16
"""Channels that the GEMM core takes, and gives, at once."""

MICRO_OP_BYTES = 4
INPUT_BYTES = BLOCK
WEIGHT_BYTES = BLOCK * BLOCK
ACCUMULATOR_BYTES = 4 * BLOCK
"""Of one entry of each buffer: a micro-op, a vector of inputs, a block of weights, a vector of sums."""

MAX_PAD = 15
MAX_STRIDE = (1 << 16) - 1
"""What the fields of a LOAD hold: rows or columns of zeros at a side, and entries between two rows."""

_INDEX_BITS = {"micro_op": 13, "weight": 10, "input": 11, "accumulator": 11}
_ENTRY_BYTES = {
    "micro_op": MICRO_OP_BYTES,
    "weight": WEIGHT_BYTES,
    "input": INPUT_BYTES,
    "accumulator": ACCUMULATOR_BYTES,
}


@dataclass(frozen=True, slots=True)
class Hardware:
    """The numbers of one accelerator."""

    micro_ops: int
    """Entries of the buffer, like the next three."""
    weights: int
    inputs: int
    accumulators: int
    output_bytes: int
    """Of an element that is stored."""
    access: int
    """Cycles until an accumulator that was written can be written again."""
    alu_cycles: int
    """Of one ALU operation on one entry."""
    fill: int
    """Cycles until the first result of an instruction."""
    latency: int
    """Cycles until the first byte of a transfer."""
    bus_bytes: int
    """A cycle."""
    queue: int
    """Instructions that wait for one module."""
    tokens: int
    """That wait between two modules."""
    instructions: int
    """Of a program at most."""

    @property
    def planes(self) -> int:
        """How many times the accumulators are stored until all of their 4 bytes have left."""
        return 4 // self.output_bytes

    @property
    def output_entry_bytes(self) -> int:
        return BLOCK * self.output_bytes


def hardware_of(target: Target) -> Hardware:
    """The numbers of a target. Raises `UsageError` for what the instructions' fields cannot address."""
    if target.number("output_bits") not in (8, 32):
        raise UsageError(f"expected output_bits=8 or 32, got {target.number('output_bits')} in target {target}")
    return Hardware(
        micro_ops=_entries(target, "micro_op"),
        weights=_entries(target, "weight"),
        inputs=_entries(target, "input"),
        accumulators=_entries(target, "accumulator"),
        output_bytes=target.number("output_bits") // 8,
        access=target.number("access"),
        alu_cycles=target.number("alu"),
        fill=target.number("fill"),
        latency=target.number("latency"),
        bus_bytes=target.number("bus"),
        queue=target.number("queue"),
        tokens=target.number("tokens"),
        instructions=target.number("program") // 16,
    )


def _entries(target: Target, buffer: str) -> int:
    entries, most = target.number(buffer) // _ENTRY_BYTES[buffer], 1 << _INDEX_BITS[buffer]
    if not 1 <= entries <= most:
        raise UsageError(
            f"expected {_ENTRY_BYTES[buffer]} to {most * _ENTRY_BYTES[buffer]} bytes for {buffer}, as an index has "
            f"{_INDEX_BITS[buffer]} bits, got {target.number(buffer)} in target {target}"
        )
    return entries
