"""What a kernel takes on a GPU, by the roofline of the peaks in its target's text and its launch."""

from __future__ import annotations

from collections.abc import Mapping

from flextune.target.target import Target
from flextune.trial.cost import Cost
from flextune.workload.elements import WIDE_SUMS
from flextune.workload.work import Work

_LAUNCH_SECS = 3e-6
_PEAKS = {
    "bfloat16": "tensor16",
    "float16": "tensor16",
    WIDE_SUMS: "tensor16",
    "tf32": "tf32",
    "uint8": "tensor8",
    "int8": "tensor8",
}


def gpu_cost(work: Work, target: Target, peaks: Mapping[str, str] = _PEAKS) -> Cost:
    """The cost of one kernel that all multiprocessors share.

    `peaks` names the target's attribute for products of a dtype, where it is not `float32`.
    """
    peak = target.number(peaks.get(work.dtype, "float32"))
    return Cost(
        compute=work.operations / (peak * 1e9),
        memory=work.bytes / (target.number("bandwidth") * 1e9),
        launch=_LAUNCH_SECS,
    )
