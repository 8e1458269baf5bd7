"""Texts from strangers for terminals and pictures: what steers a terminal, and what XML cannot hold, is spelled out."""

from __future__ import annotations

import re

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")


def printable(text: str) -> str:
    r"""The same text with such letters as Python would write them; tabs and ends of lines stay.

    >>> printable("relu\x1b[31m")
    'relu\\x1b[31m'
    """
    return _CONTROL.sub(lambda match: ascii(match.group())[1:-1], text)
