"""HTML in which every text is escaped unless it was made here: the one place where a report's texts become markup."""

from __future__ import annotations

import json
from html import escape as markup
from typing import Final

from flextune.printable import printable

_VOID: Final = frozenset({"input", "meta"})
"""Elements that hold nothing and are not closed."""


class Html(str):
    """Markup that is safe to write as it is; a plain `str` never is."""

    __slots__ = ()


def escape(text: str) -> Html:
    """As text of XML and HTML."""
    return Html(markup(printable(text)))


def element(tag: str, *children: str, **attributes: str | bool | None) -> Html:
    """`element("p", "a < b", class_="note")`: children and values are escaped, but for children that are `Html`.

    An attribute of True stands without a value, one of False or None is left out; `_` in a name is written as `-`.

    >>> element("td", "<b>", data_key="k")
    '<td data-key="k">&lt;b&gt;</td>'
    """
    given = "".join(_attribute(name, value) for name, value in attributes.items())
    if tag in _VOID:
        return Html(f"<{tag}{given}>")
    return Html(f"<{tag}{given}>{joined(*children)}</{tag}>")


def joined(*children: str) -> Html:
    """One after the other."""
    return Html("".join(child if isinstance(child, Html) else escape(child) for child in children))


def _attribute(name: str, value: str | bool | None) -> str:
    if value is None or value is False:
        return ""
    word = name.rstrip("_").replace("_", "-")
    return f" {word}" if value is True else f' {word}="{escape(value)}"'


def json_for_script(value: object) -> Html:
    """JSON that cannot end the element it stands in, with no letter that a browser or an editor could trip over."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return Html(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))
