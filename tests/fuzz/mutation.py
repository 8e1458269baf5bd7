"""Damage to bytes, texts and JSON: of every kind that a hand, a disk or a stranger does."""

from __future__ import annotations

import json
import random
import string
from copy import deepcopy
from typing import Any

Json = Any

_ODD_NUMBERS = (0, -1, 1, 2**31, -(2**63), 2**64, 10**400, 0.0, -0.5, 1e308, 5e-324, float("nan"), float("inf"))
_ODD_TEXTS = (
    "",
    " ",
    "0",
    "nan",
    "\0",
    "\x1b[31m",
    "\ud800",
    "é" * 300,
    "../../etc/passwd",
    "{",
    "{x}",
    "x" * 5000,
    "a=b",
)
_ODD_VALUES = (
    *_ODD_NUMBERS,
    *_ODD_TEXTS,
    *(None, True, False, [], {}, [[]], {"": None}, [0] * 100, {"x": {"x": {"x": 1}}}),
)
_ODD_BYTES = (
    b"\0",
    b"\xff",
    b"\n",
    b'"',
    b"{",
    b"[",
    b"\x80\x80\x80\x80\x10",
    b"1e999",
    b"-1",
    b"null",
    b"\x1f\x8b",
    b"[" * 5000,
)


def damaged_bytes(rng: random.Random, data: bytes) -> bytes:
    """The same bytes after one to four accidents."""
    for _ in range(rng.randint(1, 4)):
        at, length = rng.randint(0, len(data)), int(2 ** rng.uniform(0, 8))
        match rng.randrange(6):
            case 0:
                data = data[:at] + bytes([rng.randrange(256)]) + data[at + 1 :]
            case 1:
                data = data[:at] + data[at + length :]
            case 2:
                data = data[:at] + data[at : at + length] + data[at:]
            case 3:
                data = data[:at] + rng.choice(_ODD_BYTES) + data[at:]
            case 4:
                data = data[:at]
            case _:
                other = rng.randint(0, len(data))
                data = data[:at] + data[other : other + length] + data[at + length :]
    return data


def damaged_text(rng: random.Random, text: str) -> str:
    """The same text with letters, words or signs exchanged, left out, doubled or added."""
    signs = [
        *string.printable,
        " and ",
        " or ",
        " if ",
        " else ",
        "not ",
        "**",
        "//",
        "%",
        "<<",
        "==",
        "lambda: ",
        "(" * 50,
    ]
    for _ in range(rng.randint(1, 3)):
        at, length = rng.randint(0, len(text)), rng.randint(1, 8)
        match rng.randrange(4):
            case 0:
                text = text[:at] + rng.choice(signs) + text[at + 1 :]
            case 1:
                text = text[:at] + text[at + length :]
            case 2:
                text = text[: at + length] + text[at:]
            case _:
                text = text[:at] + rng.choice([*signs, *map(str, _ODD_VALUES[:16])]) + text[at:]
    return text


def damaged_json(rng: random.Random, value: Json) -> Json:
    """A copy with some values exchanged for odd ones, moved, left out, or nested deeply."""
    copied = json.loads(json.dumps(value))
    for _ in range(rng.randint(1, 3)):
        places = list(_places(copied))
        if not places:
            return deepcopy(rng.choice(_ODD_VALUES))
        holder, key = rng.choice(places)
        match rng.randrange(6):
            case 0:
                del holder[key]
            case 1:
                other, of = rng.choice(places)
                holder[key] = json.loads(json.dumps(other[of]))
            case 2:
                for _ in range(rng.choice([1, 3, 150])):
                    holder[key] = [holder[key]]
            case 3 if isinstance(holder, dict):
                holder[rng.choice(["", "x", key + "s", str(key).upper()])] = holder.pop(key)
            case 4 if isinstance(holder[key], str):
                holder[key] = damaged_text(rng, holder[key])
            case _:
                holder[key] = deepcopy(rng.choice(_ODD_VALUES))  # which may be damaged next
    return copied


def json_bytes(value: Json) -> bytes:
    return json.dumps(value).encode()


def _places(value: Json) -> Any:
    for key in _keys(value):
        yield value, key
        yield from _places(value[key])


def _keys(value: Json) -> list[Any]:
    if isinstance(value, dict):
        return list(value)
    return list(range(len(value))) if isinstance(value, list) else []
