"""Parts of C text: tables of constants."""

from __future__ import annotations

from collections.abc import Iterable


def table(declaration: str, rows: Iterable[str]) -> str:
    """A constant array; one without rows has room for one, which nothing reads."""
    kind, name = declaration.split()
    body = ",\n  ".join(rows)
    return f"static const {kind} {name}[] = {{\n  {body}\n}};" if body else f"static const {kind} {name}[1];"


def initializer(values: Iterable[int]) -> str:
    return ", ".join(map(str, values)) or "0"


def quoted(text: str) -> str:
    """A C string literal of UTF-8 bytes; octal escapes, because a hexadecimal one would swallow digits after it."""
    plain = set(range(32, 127)) - {ord('"'), ord("\\"), ord("?")}
    return '"' + "".join(chr(byte) if byte in plain else f"\\{byte:03o}" for byte in text.encode()) + '"'
