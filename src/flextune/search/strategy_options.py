"""Options of strategies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from flextune.options import Options, OptionText, option

__all__ = ["OptionText", "StrategyOptions", "option"]


@dataclass(frozen=True, slots=True)
class StrategyOptions(Options):
    """Base of every strategy's options; by itself, no options at all.

    A subclass is a frozen dataclass of `bool`, `int`, `float` and `str` fields, each with a default, made by `option`.
    """

    term: ClassVar[str] = "strategy option"
