"""What the two sides of a worker's pipes say: one JSON object per line, text and numbers only, never code.

A request has a number, and its reply the same: a reply with any other number answers something else, and is not taken.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Message = Mapping[str, Any]
"""What JSON can hold, by name."""

READY = 0
"""The number of what a worker says, unasked, once it can take requests."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """A request or a reply on its way; a reply says how much memory its worker then has in RAM."""

    number: int
    message: Message
    resident_bytes: int = 0

    def line(self) -> bytes:
        fields = {"number": self.number, "resident_bytes": self.resident_bytes, "message": self.message}
        return json.dumps(fields).encode() + b"\n"

    @classmethod
    def parse(cls, line: bytes) -> Envelope:
        """Inverse of `line`. Raises `ValueError` for what is none."""
        fields = json.loads(line)
        if not isinstance(fields, dict) or not isinstance(fields.get("message"), dict):
            raise ValueError(f"expected a numbered message, got {line[:80]!r}")
        return cls(int(fields["number"]), fields["message"], int(fields["resident_bytes"]))


def write_all(pipe: int, data: bytes) -> None:
    """Write until everything is written. Raises `BrokenPipeError` when nobody reads any more."""
    while data:
        data = data[os.write(pipe, data) :]
