"""What a builder makes of a candidate: code that can cross a process or a network, and what its compiler said."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from flextune.errors import UsageError
from flextune.schedule.packing import PackedInput


@dataclass(frozen=True, slots=True)
class CompilerReport:
    """What the compiler said of one program; None where it does not say."""

    registers: int | None = None
    """Of one thread."""
    spills: int | None = None
    """Values that did not fit into them."""
    shared_bytes: int | None = None
    """Memory that a group of threads shares."""
    code_bytes: int | None = None
    """Length of the machine code."""
    warnings: tuple[str, ...] = ()
    """The compiler's, as it wrote them."""


@dataclass(frozen=True, slots=True)
class Artifact:
    """One built program; `Platform.load` makes a kernel of it wherever the device is."""

    kind: str
    """What the bytes of `content` are."""
    content: bytes
    """The program, or several that were built together and have it in common."""
    entry: str = "main"
    """Which function of it the program is."""
    packs: tuple[PackedInput, ...] = ()
    """How constant inputs are to be laid out for it."""
    report: CompilerReport = CompilerReport()
    """What the compiler said."""

    def to_json(self) -> str:
        """All of it as text; `parse` reads it.

        >>> Artifact.parse(Artifact("null", b"rows=1").to_json()).content
        b'rows=1'
        """
        return json.dumps({**self.described(), "content": base64.b64encode(self.content).decode()})

    @classmethod
    def parse(cls, text: str) -> Artifact:
        """Inverse of `to_json`. Raises `UsageError` for what is none."""
        try:
            fields_of = json.loads(text)
            return cls.restored(fields_of, base64.b64decode(fields_of["content"], validate=True))
        except (ValueError, KeyError, TypeError) as error:
            raise UsageError(f"expected an artifact, got {text[:80]!r}: {type(error).__name__}: {error}") from None

    def described(self) -> dict[str, Any]:
        """All but the content, as JSON holds it; `restored` reads it."""
        packs = [asdict(pack) for pack in self.packs]
        return {"kind": self.kind, "entry": self.entry, "packs": packs, "report": asdict(self.report)}

    @classmethod
    def restored(cls, described: Mapping[str, Any], content: bytes) -> Self:
        """Inverse of `described`, given the content."""
        packs = tuple(PackedInput(**_with_tuples(pack)) for pack in described["packs"])
        report = CompilerReport(**_with_tuples(described["report"]))
        return cls(str(described["kind"]), content, str(described["entry"]), packs, report)


def _with_tuples(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
