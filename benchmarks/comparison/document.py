"""The page: generated parts between markers, everything else written by hand."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from benchmarks.comparison.plots import plot_live, plot_replayed
from benchmarks.comparison.tables import Sources
from flextune.errors import UsageError


def update_document(path: Path, texts: Mapping[str, str], sources: Sources) -> None:
    """Put each text between its markers, and the plots beside the page. Parts without results stay as they are."""
    text = path.read_text()
    for name, section in texts.items():
        text = with_section(text, name, section)
    if sources.replayed:
        plot_replayed(sources.replayed, path.with_name("search-replay.svg"))
    if sources.live is not None and sources.live.runs:
        plot_live(sources.live, path.with_name("search-live.svg"))
    path.write_text(text)


def with_section(text: str, name: str, section: str) -> str:
    """The text with this section in its place.

    >>> print(with_section("<!-- a begin -->\\nold\\n<!-- a end -->", "a", "new"))
    <!-- a begin -->
    <BLANKLINE>
    new
    <BLANKLINE>
    <!-- a end -->
    """
    begin, end = f"<!-- {name} begin -->", f"<!-- {name} end -->"
    if text.count(begin) != 1 or text.count(end) != 1:
        raise UsageError(f"the page must have the lines {begin} and {end} once each")
    before, _, rest = text.partition(begin)
    _, _, after = rest.partition(end)
    return f"{before}{begin}\n\n{section}\n\n{end}{after}"
