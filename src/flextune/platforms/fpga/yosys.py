"""The cells of an overlay as yosys counts them, for UltraScale+ parts."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass

from flextune.errors import BuildError
from flextune.platforms.fpga.overlay import Overlay
from flextune.platforms.fpga.verilator import VERILOG, find_tool
from flextune.temporary import PrivateFolder

_COUNT = re.compile(r"^\s+(\S+)\s+(\d+)\s*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Cells:
    """What an overlay takes; LUTs with those that are shift registers, block RAMs of 36 Kb."""

    dsps: int
    luts: int
    brams: int
    registers: int


def cells_of(overlay: Overlay) -> Cells:
    """Synthesises (10 seconds and more). Raises `EnvironmentFault` without yosys, `BuildError` where it fails."""
    with PrivateFolder(kind="fpga") as folder:
        report = folder.path / "stat.txt"
        parameters = " ".join(f"-set {name} {value}" for name, value in overlay.parameters.items())
        script = (
            f"read_verilog -sv {VERILOG}; chparam {parameters} overlay; "
            f"synth_xilinx -family xcup -top overlay -flatten -noiopad; tee -o {report} stat"
        )
        command = [find_tool("yosys"), "-q", "-p", script]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        if ended.returncode:
            raise BuildError(f"yosys failed for {overlay}: {(ended.stderr or ended.stdout).strip()[-400:]}")
        return read_cells(report.read_text())


def read_cells(report: str) -> Cells:
    """What `stat` printed."""
    counts = {name: int(count) for name, count in _COUNT.findall(report)}

    def total(pattern: str) -> int:
        return sum(count for name, count in counts.items() if re.fullmatch(pattern, name))

    halves = total("RAMB18E2")
    return Cells(
        dsps=total("DSP48E2"),
        luts=total(r"LUT\d|SRL\w+|RAM\d+\w+"),
        brams=total("RAMB36E2") + -(-halves // 2),
        registers=total(r"FD\w+"),
    )
