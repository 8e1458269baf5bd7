"""How much of a large database a page holds, so that it stays small enough to send and to read."""

from __future__ import annotations

from typing import Final

ROWS: Final = 150
"""Of one table."""
LETTERS: Final = 600
"""Of one text."""


def clipped(text: str, most: int = LETTERS) -> str:
    """The beginning of a long text."""
    return text if len(text) <= most else text[: most - 1] + "…"
