"""Overlays as programs: Verilator makes one of each, which is kept in the cache folder and runs any schedule."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from functools import cache
from pathlib import Path

import numpy as np

from flextune.errors import BuildError, EnvironmentFault, FlextuneError
from flextune.platforms.base import Array
from flextune.platforms.fpga.host import INSTALL
from flextune.platforms.fpga.overlay import Overlay
from flextune.platforms.fpga.schedule import Commands
from flextune.settings import made_cache_folder
from flextune.temporary import PrivateFolder

_HERE = Path(__file__).parent
VERILOG, HARNESS = _HERE / "overlay.v", _HERE / "harness.cpp"
_STUCK = 3


class SimulationError(FlextuneError):
    """An overlay that does not go on: its commands wait for what never comes."""


def find_tool(name: str) -> str:
    """Where a tool is. Raises `EnvironmentFault` with the line that installs it."""
    found = shutil.which(name)
    if found is None:
        raise EnvironmentFault(f"{name} is not installed: {INSTALL}")
    return found


def program_of(overlay: Overlay) -> Path:
    """The simulator of an overlay, built where it is not there yet (seconds). Raises `BuildError` if it cannot be."""
    tool, folder = find_tool("verilator"), made_cache_folder("fpga")
    path = folder / f"overlay-{_digest(overlay, tool)}"
    if not path.exists():
        with PrivateFolder(folder, kind="fpga") as made:
            _build(tool, overlay, made.path / "built")
            (made.path / "built" / "run").replace(path)
    return path


def _build(tool: str, overlay: Overlay, folder: Path) -> None:
    parameters = [f"-G{name}={value}" for name, value in overlay.parameters.items()]
    command = [
        *(tool, "--cc", "--exe", "--build", "-j", "1", "-O3", "--x-assign", "fast", "--x-initial", "fast"),
        *("-Wno-fatal", "-Wno-lint", "--top-module", "overlay", *parameters),
        *("-CFLAGS", f"-O1 -DBUS={overlay.bus} -DRESULTS={overlay.results}", "--Mdir", str(folder)),
        *("-o", "run", str(VERILOG), str(HARNESS)),
    ]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise BuildError(f"verilator failed for {overlay}: {(ended.stderr or ended.stdout).strip()[-400:]}")


def run(program: Path, commands: Commands, lines: bytes, sums: int, latency: int) -> tuple[int, Array]:
    """Cycles and results. Raises `SimulationError` where nothing moves any more."""
    head = np.array([len(commands.loads), len(commands.steps), sums, latency], dtype=np.uint32)
    text = head.tobytes() + commands.loads.tobytes() + commands.steps.tobytes() + lines
    ended = subprocess.run([str(program)], input=text, capture_output=True, check=False)
    if ended.returncode == _STUCK:
        raise SimulationError("the overlay waits for what never comes: a slot that is never free, or never filled")
    if ended.returncode or len(ended.stdout) != 8 + 4 * sums:
        raise SimulationError(f"the overlay's simulator ended with {ended.returncode}, {len(ended.stdout)} bytes")
    return int(np.frombuffer(ended.stdout[:8], "<u8")[0]), np.frombuffer(ended.stdout[8:], "<i4")


def _digest(overlay: Overlay, tool: str) -> str:
    digest = hashlib.sha256(f"{_version(tool)}\0{overlay.to_json()}".encode())
    for source in (VERILOG, HARNESS):
        digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


@cache
def _version(tool: str) -> str:
    return subprocess.run([tool, "--version"], capture_output=True, text=True, check=False).stdout.strip()
