"""What an executable takes, gives and was made for."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from enum import StrEnum

from flextune.importing.values import ValueSpec


class Runtime(StrEnum):
    """What runs a model: code of its own library alone, or TVM's virtual machine."""

    OWN = "own"
    TVM = "tvm"


@dataclass(frozen=True, slots=True)
class Signature:
    """What an executable takes, gives and was made for. The text form (JSON) is stored with a saved executable.

    `instructions` are the processor features, by LLVM's names, that its code may use. `kernels` are the names of what
    it calls, in order. `activation_bytes` is the peak of the memory between inputs and outputs, None where TVM decides
    about it at run time.
    """

    name: str
    inputs: tuple[ValueSpec, ...]
    outputs: tuple[ValueSpec, ...]
    target: str
    threads: int
    runtime: Runtime = Runtime.TVM
    instructions: tuple[str, ...] = ()
    kernels: tuple[str, ...] = ()
    weight_bytes: int = 0
    activation_bytes: int | None = None

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
        return cls(
            raw["name"],
            inputs,
            outputs,
            raw["target"],
            int(raw["threads"]),
            Runtime(raw["runtime"]),
            tuple(raw["instructions"]),
            tuple(raw["kernels"]),
            raw["weight_bytes"],
            raw["activation_bytes"],
        )
