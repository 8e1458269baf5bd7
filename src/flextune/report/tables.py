"""Tables of a report: headed, scrollable on a narrow screen, and never longer than a page can hold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from flextune.report.html import Html, element, joined
from flextune.report.limits import ROWS, clipped

Item = TypeVar("Item")


def table(caption: str, headers: Sequence[str], items: Sequence[Item], cells: Callable[[Item], Sequence[str]]) -> Html:
    """A row for each of the items, the first of its cells names it. Of many the first ones, and how many are left."""
    shown = [_row(cells(item)) for item in items[:ROWS]]
    left_out = len(items) - len(shown)
    if left_out:
        more = f"and {left_out} more: name one of them, as in flextune report NAME, to see it"
        shown.append(element("tr", element("td", more, colspan=str(len(headers)))))
    head = element("thead", element("tr", *(element("th", header, scope="col") for header in headers)))
    whole = element("table", element("caption", caption), head, element("tbody", *shown))
    return element("div", whole, class_="wide", tabindex="0", role="region", aria_label=caption)


def _row(cells: Sequence[str]) -> Html:
    first, *others = map(_cell, cells)
    return element("tr", element("th", first, scope="row"), *(element("td", cell) for cell in others))


def _cell(text: str) -> str:
    return text if isinstance(text, Html) else clipped(text)


def copy_button(command: str, label: str = "copy") -> Html:
    """Puts the command on the clipboard."""
    return element("button", label, type="button", class_="copy", data_command=command, title=clipped(command))


def folded(summary: str, *content: str) -> Html:
    """What opens with a click or the Enter key."""
    return element("details", element("summary", summary), joined(*content))


def share(value: float) -> Html:
    """A percentage with a bar."""
    bar = element("span", style=f"width:{min(1.0, max(0.0, value)):.1%}")
    return element("span", element("span", bar, class_="bar", aria_hidden="true"), f" {value:.1%}", class_="share")


def figure(name: str, description: str) -> Html:
    """The place of a picture, which the page's program draws; its numbers are in the tables too."""
    return element("div", class_="figure", data_figure=name, role="img", aria_label=description)
