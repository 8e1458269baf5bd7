"""Texts from strangers for terminals and pictures: what steers a terminal, and what XML cannot hold, is spelled out."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")


def printable(text: str) -> str:
    r"""The same text with such letters as Python would write them; tabs and ends of lines stay.

    >>> printable("relu\x1b[31m")
    'relu\\x1b[31m'
    """
    return _CONTROL.sub(lambda match: ascii(match.group())[1:-1], text)


def whole_text(text: str) -> str:
    r"""The text itself. ValueError for one that no file and no terminal takes: JSON can spell halves of letters.

    >>> whole_text("\ud83d")
    Traceback (most recent call last):
    UnicodeEncodeError: 'utf-8' codec can't encode character '\ud83d' in position 0: surrogates not allowed
    """
    if not text.isascii():
        text.encode()
    return text


def is_whole_text(text: str) -> bool:
    """Whether `whole_text` takes it."""
    try:
        whole_text(text)
    except ValueError:
        return False
    return True


def json_values(text: str, object_pairs_hook: Callable[[list[tuple[str, Any]]], Any] | None = None) -> Any:
    """What `json.loads` says. ValueError for what is no JSON, and for halves of letters in it."""
    values = json.loads(text, object_pairs_hook=object_pairs_hook)
    if "\\u" in text or not text.isascii():
        whole_text(json.dumps(values, ensure_ascii=False, default=str))
    return values
