"""Transposed convolutions by the phases of their stride."""

from __future__ import annotations

from flextune.schedule.phases import split_phases, spread_convolution
from flextune.schedule.rewriting_steps import SplitPhases
from flextune.schedule.space import Draft

PHASES_RULE = "phases"


def apply_phases(draft: Draft) -> None:
    """Compute a transposed convolution with a stride without the zeros between its elements."""
    name = spread_convolution(draft.program)
    if name is not None and name not in draft.scheduled:
        draft.used(PHASES_RULE)
        draft.rewrite(split_phases(draft.function, name), SplitPhases(name))
