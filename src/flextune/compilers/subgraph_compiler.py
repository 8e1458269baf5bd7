"""What a compiler or runtime of somebody else's provides for subgraphs that are not ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import onnx

from flextune.errors import UsageError
from flextune.importing.model import Model
from flextune.trial.artifact import Artifact

Weights = Mapping[str, np.ndarray]
"""Constants by name. Several artifacts of one model may share an array."""

Types = Mapping[str, onnx.TypeProto]


@dataclass(frozen=True, slots=True)
class SubgraphOptions:
    """How a subgraph is to run: on so many threads, the calling one included, and on which of the runtime's devices.

    `providers` are the runtime's own names, the first that can take a node takes it; none for its processor's.
    `alone` says that nothing else of the model runs beside it, so that its threads may wait for the next run.
    """

    threads: int
    providers: tuple[str, ...] = ()
    alone: bool = False

    def __post_init__(self) -> None:
        if self.threads < 1:
            raise UsageError(f"threads must be 1 or more, got {self.threads}")


class SubgraphKernel(Protocol):
    """A compiled subgraph that is ready to run. One caller at a time."""

    def run(self, inputs: Sequence[Any], outputs: list[Any]) -> None:
        """Read the inputs and write the outputs, which are contiguous arrays where their sizes are known.

        In place of an output that is None comes what the subgraph gives: an array, or what stands for a value that is
        none (a list for a sequence, None for an empty optional).
        """
        ...

    def set_threads(self, threads: int) -> None:
        """Use so many threads, the calling one included, from the next run on."""
        ...

    def close(self) -> None:
        """Give back memory. No run follows."""
        ...


class SubgraphCompiler(Protocol):
    """A vendor's tool, or a runtime, for whole subgraphs. Its folder is `flextune/compilers/<name>`."""

    name: str

    def supports(self, node: onnx.NodeProto) -> str:
        """Why it cannot run a node of this operator, empty where it can."""
        ...

    def infer(self, model: onnx.ModelProto) -> Types:
        """The types of all values of a model, as far as the compiler can know them before it runs."""
        ...

    def compile(self, subgraph: Model, options: SubgraphOptions) -> tuple[Artifact, Weights]:
        """The subgraph as bytes, and its large constants apart. ModelError for what it cannot run."""
        ...

    def load(self, artifact: Artifact, weights: Weights, options: SubgraphOptions) -> SubgraphKernel:
        """What `compile` made, ready to run; it may come from a file, so nothing but it is read or executed.

        BuildError for what is no artifact of this compiler, EnvironmentFault where something is not installed.
        """
        ...
