"""Targets that are VTA accelerators. Needs no TVM.

The design is that of Moreau et al., "A Hardware-Software Blueprint for Flexible Deep Learning Specialization" (IEEE
Micro 2019), and of its public sources: a GEMM core that multiplies 1 x 16 by 16 x 16 elements of 8 bits each cycle into
accumulators of 32 bits.
"""

from __future__ import annotations

from flextune.quantities import CostOrigin, Scale, Unit
from flextune.target.kind import Attribute, TargetKind

ATTRIBUTES = (
    Attribute("input", "a positive number", default=32 << 10, unit="bytes"),
    Attribute("weight", "a positive number", default=256 << 10, unit="bytes"),
    Attribute("accumulator", "a positive number", default=128 << 10, unit="bytes"),
    Attribute("micro_op", "a positive number", default=32 << 10, unit="bytes"),
    Attribute("output_bits", "8 or 32", default=32),
    Attribute("bus", "a positive number", default=8, unit="bytes_per_cycle"),
    Attribute("latency", "a number", default=64, least=0, unit="cycles"),
    Attribute("access", "a positive number", default=2, unit="cycles"),
    Attribute("alu", "a positive number", default=2, unit="cycles"),
    Attribute("fill", "a number", default=8, least=0, unit="cycles"),
    Attribute("queue", "a positive number", default=512, unit="instructions"),
    Attribute("tokens", "a positive number", default=1024),
    Attribute("program", "a positive number", default=4 << 20, unit="bytes"),
)
"""The buffers, the bus of 64 bits, and results of 8 bits on the devices below are VTA's default configuration for a
Zynq-7020 (Ultra96: 128 bits). `output_bits=32`, the width in which accumulators leave, is the same design with wider
stores; with 8, results of 32 bits leave as four planes of bytes. `access` and `alu` are the initiation intervals of
its high-level synthesis: an accumulator can be written every second cycle, and so does the ALU. `program` is what its
runtime transfers at once, `queue` and `tokens` are the depths of its FIFOs. `latency` and `fill` are round numbers for
memory behind an AXI port at 100 MHz and for a pipeline's length: set them to those of your board."""

VTA = TargetKind(
    "vta",
    ATTRIBUTES,
    devices={"pynq": "output_bits=8,bus=8", "ultra96": "output_bits=8,bus=16"},
    runners={"simulator": Scale(Unit.CYCLES, CostOrigin.SIMULATED)},
    most=(1 << 31) - 1,
)
