"""What the verbs print: JSON objects, aligned tables, and times and rates in readable units."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import TypeAlias, Union

from flextune.printable import printable
from flextune.quantities import amount as amount
from flextune.quantities import rate as rate
from flextune.quantities import seconds as seconds

JsonValue: TypeAlias = Union[bool, int, float, str, Sequence["JsonValue"], Mapping[str, "JsonValue"], None]  # noqa: UP007


_NUMBER = re.compile(r"|-|-?\d[\d.]*(e[-+]?\d+)?( ?[^\d\s]{1,8})?")


def print_json(value: JsonValue) -> None:
    """One JSON object on stdout. JSON has no infinity: what was never measured is null."""
    print(json.dumps(finite(value), indent=2, ensure_ascii=False, allow_nan=False))


def finite(value: JsonValue) -> JsonValue:
    """The same value with null for infinities and NaN."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [finite(item) for item in value]
    return value


def table(headers: Sequence[str], rows: Sequence[Sequence[str]], indent: str = "") -> str:
    """Aligned columns; a column whose cells are all numbers, with or without unit, is aligned to the right.

    >>> print(table(("name", "secs"), [("a", "1.5"), ("bb", "12.0")]))
    name  secs
    a      1.5
    bb    12.0
    """
    columns = [tuple(map(printable, column)) for column in zip(headers, *rows, strict=True)]
    widths = [max(map(len, column)) for column in columns]
    right = [all(map(_NUMBER.fullmatch, column[1:])) for column in columns]
    cells = [
        [text.rjust(width) if to_right else text.ljust(width) for text in column]
        for column, width, to_right in zip(columns, widths, right, strict=True)
    ]
    return "\n".join((indent + "  ".join(row)).rstrip() for row in zip(*cells, strict=True))
