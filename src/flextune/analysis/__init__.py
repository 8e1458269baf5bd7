"""Facts about programs: loops, reuse, operations, bytes, bounds, and the blocks that schedule rules look at."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flextune.analysis.report import ProgramAnalysis, analyze
    from flextune.analysis.roofline import Roofline
    from flextune.analysis.table import render_table

_HOME = {
    "ProgramAnalysis": "report",
    "Roofline": "roofline",
    "analyze": "report",
    "render_table": "table",
}

__all__ = ["ProgramAnalysis", "Roofline", "analyze", "render_table"]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'flextune.analysis' has no attribute {name!r}")
    return getattr(import_module(f"flextune.analysis.{_HOME[name]}"), name)
