"""Programs in Triton run on the CPU by Triton's interpreter, in a process of its own; it needs PyTorch.

It shows what the kernels compute, with their masks and the numbering of their blocks, and nothing of layouts, pipelines
or registers. It multiplies bfloat16 wrongly (seen up to Triton 3.9): such operands are given as the float32 numbers
that they are, which is exact.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from flextune.errors import BuildError
from flextune.platforms.base import Array
from flextune.platforms.triton.compiler import INSTALL, constant, version
from flextune.platforms.triton.program import TritonProgram

_MODULE = "flextune.platforms.triton.interpreter"
_SECS = 280
_PROGRAMS, _ARRAYS, _RESULTS = "programs.json", "arrays-{}.npz", "results-{}.npz"


def interpreter_fault() -> str:
    """What is missing to interpret, and how to get it; empty where nothing is."""
    if not version():
        return f"Triton is not installed: {INSTALL}"
    return "" if importlib.util.find_spec("torch") else "Triton's interpreter needs PyTorch: pip install torch"


def interpret(programs: Sequence[TritonProgram], arrays: Sequence[Mapping[str, Array]]) -> list[dict[str, Array]]:
    """The arrays of each program after its launches, by name. Raises `BuildError` where one does not come to an end."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / _PROGRAMS).write_text(json.dumps([json.loads(program.to_json()) for program in programs]))
        for number, (program, given) in enumerate(zip(programs, arrays, strict=True)):
            np.savez(place / _ARRAYS.format(number), *(given[name] for name in program.parameters))
        paths = os.pathsep.join(filter(None, sys.path))
        environment = {**os.environ, "PYTHONPATH": paths, "TRITON_INTERPRET": "1", "TRITON_CACHE_DIR": folder}
        command = [sys.executable, "-m", _MODULE, folder]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_SECS, env=environment)
        if done.returncode:
            raise BuildError(f"Triton's interpreter did not come to an end: {done.stderr[-1500:]}")
        return [_stored(place / _RESULTS.format(number), each.parameters) for number, each in enumerate(programs)]


def _stored(path: Path, names: Sequence[str]) -> dict[str, Array]:
    with np.load(path) as found:
        return {name: found[f"arr_{number}"] for number, name in enumerate(names)}


def main(folder: str) -> None:
    """In the interpreting process: run the folder's programs one after the other."""
    import torch  # only here

    kernels = importlib.import_module("flextune.platforms.triton.kernels")
    place = Path(folder)
    for number, program in enumerate(json.loads((place / _PROGRAMS).read_text())):
        arrays = _stored(place / _ARRAYS.format(number), program["parameters"])
        buffers = {name: torch.from_numpy(array) for name, array in arrays.items()}
        for name, size in program["workspaces"]:
            kind = torch.int32 if arrays["c"].dtype == np.int32 else torch.float32
            buffers[name] = torch.full((size // 4,), -(1 << 30), dtype=kind)
        for launch in program["launches"]:
            constants = {name: constant(name, value) for name, value in launch["constants"]}
            given = {parameter: buffers[buffer] for parameter, buffer in launch["arguments"]}
            getattr(kernels, launch["kernel"])[tuple(launch["grid"])](**given, **constants)
        np.savez(place / _RESULTS.format(number), *arrays.values())


if __name__ == "__main__":
    main(sys.argv[1])
