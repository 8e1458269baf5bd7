"""What runs a model: the interface, and the form of a model on its way to one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from flextune.apply.signature import Signature


@runtime_checkable
class Machine(Protocol):
    """A model that is ready to run. One caller at a time."""

    def run(self, inputs: Sequence[Any], outputs: list[Any]) -> None:
        """Read the inputs, write the outputs; all contiguous and of the model's types.

        Arrays, but for what only another runtime knows: an output of no known size is None, and is replaced.
        """

    def run_timed(self, inputs: Sequence[Any], outputs: list[Any]) -> list[tuple[str, float]]:
        """As `run`; the kernels that were called, in order, with the seconds that each call took."""

    def set_threads(self, threads: int) -> None:
        """Use so many threads, the calling one included, from the next run on."""

    def close(self) -> None:
        """Give back memory. No run follows."""


class ModelCode(Protocol):
    """A compiled model before it runs: it can be opened here, or written to run elsewhere."""

    def open(self, signature: Signature) -> Machine: ...

    def write(self, path: Path, signature: Signature) -> Path: ...
