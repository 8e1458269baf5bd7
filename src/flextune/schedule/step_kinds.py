"""Steps by the name that traces have for them: name -> where its class is, so that reading a name loads nothing."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

from flextune.registry import Registry

if TYPE_CHECKING:
    from flextune.schedule.step import Step

_BUILTIN = "flextune.platforms.builtin"
"""Names the steps that are one platform's own; by name, because `schedule` lies below `platforms`."""

_REWRITING = "flextune.schedule.rewriting_steps"
_PRIMITIVE = "flextune.schedule.steps"

_SHARED = {
    "restage": f"{_REWRITING}:Restage",
    "peel_tail": f"{_REWRITING}:PeelTail",
    "peel_columns": f"{_REWRITING}:PeelColumns",
    "split_reduction": f"{_REWRITING}:SplitReduction",
    "split_phases": f"{_REWRITING}:SplitPhases",
    "split_groups": f"{_REWRITING}:SplitGroups",
    "block_scan": f"{_REWRITING}:BlockScan",
    "write_out": f"{_REWRITING}:WriteOut",
    "loops": f"{_PRIMITIVE}:Loops",
    "split": f"{_PRIMITIVE}:Split",
    "fuse": f"{_PRIMITIVE}:Fuse",
    "reorder": f"{_PRIMITIVE}:Reorder",
    "mark": f"{_PRIMITIVE}:Mark",
    "compute_at": f"{_PRIMITIVE}:ComputeAt",
    "inline": f"{_PRIMITIVE}:Inline",
    "decompose": f"{_PRIMITIVE}:Decompose",
    "rfactor": f"{_PRIMITIVE}:RFactor",
    "set_scope": f"{_PRIMITIVE}:SetScope",
    "tensorize": f"{_PRIMITIVE}:Tensorize",
    "import_code": f"{_PRIMITIVE}:ImportCode",
    "choose": f"{_PRIMITIVE}:Choose",
}
"""The steps that every platform shares."""


@cache
def step_kinds() -> Registry[type[Step]]:
    """All steps: `step_kinds().register(name, "module:Class")` adds one, `get(name)` loads its class."""
    known: dict[str, type[Step] | str] = {**import_module(_BUILTIN).STEPS, **_SHARED}
    return Registry("step", known)
