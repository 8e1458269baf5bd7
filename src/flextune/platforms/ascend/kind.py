"""Targets that are Huawei's Ascend processors. Needs no TVM.

Buffers and cores are those of the product pages and of the "Ascend C" programming guide (CANN 8) for processors with
cube and vector cores apart: L1 512 KiB, L0A and L0B 64 KiB, L0C 128 KiB, a bias table of 1 KiB, unified buffer 192 KiB.
"""

from __future__ import annotations

from flextune.quantities import CostOrigin, Scale, Unit
from flextune.target.kind import Attribute, TargetKind

ATTRIBUTES = (
    Attribute("cores", "a positive number", default=20),
    Attribute("vector_cores", "a positive number", default=40),
    Attribute("l1", "a positive number", default=512 << 10, unit="bytes"),
    Attribute("l0a", "a positive number", default=64 << 10, unit="bytes"),
    Attribute("l0b", "a positive number", default=64 << 10, unit="bytes"),
    Attribute("l0c", "a positive number", default=128 << 10, unit="bytes"),
    Attribute("bias", "a positive number", default=1 << 10, unit="bytes"),
    Attribute("ub", "a positive number", default=192 << 10, unit="bytes"),
    Attribute("rate", "a positive number", default=800, unit="bytes_per_cycle"),
)
"""`cores` multiply matrices, `vector_cores` compute rows. `rate` is what all of them together get from memory: a round
number near 1.6 TB/s at 1.8 GHz."""

ASCEND = TargetKind(
    "ascend",
    ATTRIBUTES,
    devices={"910b": "cores=24,vector_cores=48", "910b4": "cores=20,vector_cores=40"},
    runners={"emulation": Scale(Unit.CYCLES, CostOrigin.MODELLED)},
    most=(1 << 31) - 1,
    host="flextune.platforms.ascend.host:AscendHost",
)
