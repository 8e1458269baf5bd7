"""Options of cost models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from flextune.options import Options, OptionText, option

__all__ = ["CostModelOptions", "OptionText", "option"]


@dataclass(frozen=True, slots=True)
class CostModelOptions(Options):
    """Base of every cost model's options; by itself, no options at all.

    A subclass is a frozen dataclass of `bool`, `int`, `float` and `str` fields, each with a default, made by `option`.
    """

    term: ClassVar[str] = "cost model option"
