"""What an executable takes, gives and was made for."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace

from flextune.graph.values import ValueSpec


@dataclass(frozen=True, slots=True)
class Signature:
    """What an executable takes, gives and was made for. The text form (JSON) is stored with a saved executable."""

    name: str
    inputs: tuple[ValueSpec, ...]
    outputs: tuple[ValueSpec, ...]
    target: str
    threads: int

    def with_threads(self, threads: int) -> Signature:
        return replace(self, threads=threads)

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Signature:
        raw = json.loads(text)
        inputs, outputs = (
            tuple(ValueSpec(spec["name"], tuple(spec["shape"]), spec["dtype"]) for spec in raw[side])
            for side in ("inputs", "outputs")
        )
        return cls(raw["name"], inputs, outputs, raw["target"], int(raw["threads"]))
