"""Kernels of models that a test builds in several ways, compiled once."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

import tvm

from flextune.apply.kernel_objects import write_object
from flextune.target.target import Target

_OBJECTS: dict[Path, bytes] = {}
"""What kernels were compiled to, by a name made of their texts."""


class KeptObjects:
    """See `ObjectWriter`. A kernel is compiled once for all tests of a process: most builds have theirs in common."""

    def write(self, kernels: tvm.IRModule, target: Target, folder: Path, part: int = 0) -> Sequence[Path]:
        modules = [tvm.IRModule({variable: function}) for variable, function in kernels.functions_items()]
        return [_written(module, target, folder) for module in modules]


def _written(kernel: tvm.IRModule, target: Target, folder: Path) -> Path:
    """The object file of a kernel, in this folder."""
    name = Path(sha256(f"{target} {tvm.ir.save_json(kernel)}".encode()).hexdigest()).with_suffix(".o")
    if name in _OBJECTS:
        (folder / name).write_bytes(_OBJECTS[name])
    else:
        write_object(kernel, target, folder / name)
        _OBJECTS[name] = (folder / name).read_bytes()
    return folder / name
