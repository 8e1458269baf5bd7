"""The launches that run a program on a device, as a text that round-trips. Needs no TVM."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass

from flextune.errors import BuildError


@dataclass(frozen=True, slots=True)
class Launch:
    """One start of a kernel: `arguments` are names of buffers, in order."""

    kernel: str
    arguments: tuple[str, ...]
    grid: tuple[int, int, int]
    block: tuple[int, int, int]
    dynamic_shared: int

    @property
    def threads(self) -> int:
        return math.prod(self.block)


@dataclass(frozen=True, slots=True)
class LaunchPlan:
    """What is launched, in order; the program's parameters by name, and the bytes of buffers that live in between."""

    parameters: tuple[str, ...]
    launches: tuple[Launch, ...]
    workspaces: tuple[tuple[str, int], ...]

    @property
    def dynamic_shared(self) -> int:
        """Of the launch that has most."""
        return max(launch.dynamic_shared for launch in self.launches)

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def parse(cls, text: str) -> LaunchPlan:
        """Inverse of `to_json`. Raises `BuildError` for anything else."""
        try:
            raw = json.loads(text)
            launches = tuple(
                Launch(
                    each["kernel"], tuple(each["arguments"]), tuple(each["grid"]), tuple(each["block"]),
                    int(each["dynamic_shared"]),
                )
                for each in raw["launches"]
            )  # fmt: skip
            workspaces = tuple((str(name), int(size)) for name, size in raw["workspaces"])
            return cls(tuple(raw["parameters"]), launches, workspaces)
        except (ValueError, KeyError, TypeError) as error:
            raise BuildError(f"expected a launch plan, got {text[:80]!r}: {error}") from None
