"""What a family of processors is called by the tools that compile and emulate it. Needs no TVM."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from flextune.quantities import CostOrigin, Scale, Unit

QEMU = "qemu"
"""The runner that counts instructions in QEMU's emulation of one process."""

RUNNERS: Mapping[str, Scale] = {QEMU: Scale(Unit.INSTRUCTIONS, CostOrigin.SIMULATED)}
"""What measures programs for processors that are not here."""


@dataclass(frozen=True, slots=True)
class Machine:
    """One family of processors under Linux."""

    name: str
    """For people."""
    triple: str
    """LLVM's, of kernels."""
    program: str
    """Zig's target of static programs, which carry their C library."""
    library: str
    """Zig's target of shared libraries, with the oldest C library that they run on."""
    emulator: str
    """QEMU's program."""
    emulator_options: tuple[str, ...] = ()
    """Of QEMU."""
    options: tuple[str, ...] = ()
    """Of Zig's compiler."""
