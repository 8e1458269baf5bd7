"""Kernels in OpenCL C executed by oclgrind, which finds races, barriers that not all meet, and memory left.

It works item by item, some 10 000 times slower than a device: for small shapes.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from flextune.errors import BuildError
from flextune.platforms.base import Array
from flextune.platforms.gpu.launch_plan import LaunchPlan
from flextune.platforms.opencl.device import INSTALL, open_device, version
from flextune.platforms.opencl.kernel import OpenClKernel

PROGRAM = "oclgrind"
_MODULE = "flextune.platforms.opencl.simulation"
_SECS = 240
_SOURCE, _PLAN, _ARRAYS, _RESULTS, _LOG = "kernels.cl", "plan.json", "arrays.npz", "results.npz", "log"

_OPTIONS = ("-cl-opt-disable",)
"""Optimised code has instructions (`freeze`) that its search for uninitialised values does not know."""

_FATAL = "OCLGRIND FATAL ERROR"
_REPORT = re.compile(
    r"^(Read-write data race|Write-write data race|Invalid read|Invalid write|Uninitialized value|Work-group divergence"
    r"|Unaligned address)",
    re.MULTILINE,
)


@dataclass(frozen=True, slots=True)
class Simulated:
    """All arrays after the launches, by name, and what the simulator reported: its first words, how often."""

    arrays: Mapping[str, Array]
    reports: Mapping[str, int]
    log: str


def simulator_fault() -> str:
    """What is missing to simulate, and how to get it; empty where nothing is."""
    if shutil.which(PROGRAM) is None:
        return f"{PROGRAM} is not installed: apt-get install {PROGRAM}"
    return "" if version() else f"pyopencl is not installed: {INSTALL}"


def simulate(source: str, plan: LaunchPlan, arrays: Mapping[str, Array]) -> Simulated:
    """Run a program in a process under oclgrind. Raises `BuildError` where the program does not come to an end."""
    names = plan.parameters
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / _SOURCE).write_text(source)
        (place / _PLAN).write_text(plan.to_json())
        np.savez(place / _ARRAYS, *(np.ascontiguousarray(arrays[name]).reshape(-1).view(np.uint8) for name in names))
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        command = [PROGRAM, "--data-races", "--uninitialized", "--max-errors", "1000", "--log", str(place / _LOG),
                   sys.executable, "-m", _MODULE, folder]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_SECS, env=environment)
        log = (place / _LOG).read_text(errors="replace") if (place / _LOG).exists() else ""
        if _FATAL in log or not (place / _RESULTS).exists():
            raise BuildError(f"{PROGRAM} did not come to an end: {(done.stderr + log)[-1500:]}")
        with np.load(place / _RESULTS) as found:
            raw = {name: found[f"arr_{number}"] for number, name in enumerate(names)}
        results = {name: raw[name].view(arrays[name].dtype).reshape(arrays[name].shape) for name in names}
    seen = _REPORT.findall(log)
    return Simulated(results, {each: seen.count(each) for each in dict.fromkeys(seen)}, log)


def main(folder: str) -> None:
    """In the simulated process: run the folder's program on the simulator, which is the only driver here."""
    place = Path(folder)
    plan = LaunchPlan.parse((place / _PLAN).read_text())
    with np.load(place / _ARRAYS) as stored:
        arrays = [stored[f"arr_{number}"].copy() for number in range(len(plan.parameters))]
    kernel = OpenClKernel(open_device(PROGRAM), (place / _SOURCE).read_text(), plan, _OPTIONS)
    kernel.bind(arrays, [])
    kernel.run()
    np.savez(place / _RESULTS, *arrays)


if __name__ == "__main__":
    main(sys.argv[1])
