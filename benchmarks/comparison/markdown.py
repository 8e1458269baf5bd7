"""Tables and cells in Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.comparison.bootstrap import Interval


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The first column to the left, the others to the right."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def signed(interval: Interval) -> str:
    """A difference; bold where it is told from 0."""
    text = f"{interval.mean:+.3f} [{interval.low:+.3f}, {interval.high:+.3f}]"
    return f"**{text}**" if interval.excludes_zero else text
