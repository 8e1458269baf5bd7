"""Targets that are FPGAs: what a part has of each kind of cell. Needs no TVM.

The numbers are those of the vendor's product tables (block RAMs of 36 Kb).
"""

from __future__ import annotations

from flextune.quantities import CostOrigin, Scale, Unit
from flextune.target.kind import Attribute, TargetKind

ATTRIBUTES = (
    Attribute("dsp", "a positive number"),
    Attribute("lut", "a positive number"),
    Attribute("bram", "a positive number"),
    Attribute("bus", "a positive number", default=16, unit="bytes_per_cycle"),
    Attribute("latency", "a number", default=20, least=0, unit="cycles"),
)
"""`bus` is what memory gives at most: 16 is one AXI port of 128 bits. `latency` of a burst is a round number."""

FPGA = TargetKind(
    "fpga",
    ATTRIBUTES,
    devices={
        "zu3eg": "dsp=360,lut=70560,bram=216",
        "zu7ev": "dsp=1728,lut=230400,bram=312,bus=64",
        "zu9eg": "dsp=2520,lut=274080,bram=912,bus=64",
        "vu9p": "dsp=6840,lut=1182240,bram=2160,bus=64",
    },
    runners={"verilator": Scale(Unit.CYCLES, CostOrigin.SIMULATED)},
    most=(1 << 31) - 1,
    host="flextune.platforms.fpga.host:FpgaHost",
)
