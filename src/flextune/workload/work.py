"""`Work`: how much a program does, which is what estimates of its time are made from."""

from __future__ import annotations

from dataclasses import dataclass

from flextune.workload.workload import Workload


@dataclass(frozen=True, slots=True)
class Work:
    """Operations on operands of `dtype`, and bytes that are read and written, each once.

    `columns` is the extent of the axis that vectors run along, where that is known: the last vector along it may be
    filled in part and takes as long as a whole one.
    """

    operations: float = 0.0
    bytes: float = 0.0
    dtype: str = "float32"
    columns: int = 0

    @classmethod
    def of(cls, workload: Workload) -> Work:
        """Of a workload whose operands all come from memory."""
        return cls(workload.flops, sum(spec.bytes for spec in (*workload.inputs, *workload.outputs)), workload.dtype)
