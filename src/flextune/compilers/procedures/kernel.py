"""Procedures that are ready to run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from flextune.compilers.procedures.library import Library
from flextune.compilers.procedures.operators import OPERATORS, Attribute, Procedure
from flextune.compilers.subgraph_compiler import Weights
from flextune.errors import BuildError
from flextune.temporary import PrivateFolder

KIND = "procedures"


@dataclass(frozen=True, slots=True)
class Step:
    """One node: names of what it reads and writes, empty where it leaves one out."""

    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Attribute]

    @classmethod
    def of(cls, raw: Any) -> Step:
        """From its JSON. BuildError for anything else."""
        try:
            names = [[str(name) for name in raw[key]] for key in ("inputs", "outputs")]
            step = cls(str(raw["operator"]), tuple(names[0]), tuple(names[1]), dict(raw["attributes"]))
        except (KeyError, TypeError, ValueError) as error:
            raise BuildError(f"a list of procedures has a damaged entry: {error}") from None
        if step.operator not in OPERATORS:
            raise BuildError(f"{step.operator!r:.80} is no procedure")
        return step


class ProcedureKernel:
    """See `SubgraphKernel`."""

    def __init__(self, content: bytes, weights: Weights) -> None:
        end = 8 + int.from_bytes(content[:8], "little")
        try:
            text = json.loads(content[8:end])
            self._inputs, self._outputs = ([str(name) for name in text[key]] for key in ("inputs", "outputs"))
            steps = list(map(Step.of, text["steps"]))
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise BuildError(f"a part of the model is no list of procedures: {error}") from None
        library = _opened(content[end:])
        self._steps = [(step, Procedure(step.operator, step.attributes, library)) for step in steps]
        self._weights = dict(weights)

    def run(self, inputs: Sequence[Any], outputs: list[Any]) -> None:
        values: dict[str, np.ndarray] = {**self._weights, **dict(zip(self._inputs, inputs, strict=True))}
        for step, procedure in self._steps:
            given = procedure([values[name] if name else None for name in step.inputs])
            values.update(zip(step.outputs, given, strict=False))
        for position, name in enumerate(self._outputs):
            if outputs[position] is None:
                outputs[position] = values[name]
            else:
                np.copyto(outputs[position], values[name], casting="no")

    def set_threads(self, threads: int) -> None:
        """They use one."""

    def close(self) -> None:
        self._steps, self._weights = [], {}


def _opened(library: bytes) -> Library:
    """The library, whose file may go once it is mapped."""
    with PrivateFolder(kind="procedures") as folder:
        path = folder.path / "procedures.so"
        path.write_bytes(library)
        try:
            return Library(path)
        except (OSError, AttributeError) as error:
            raise BuildError(f"the procedures of the model cannot be loaded: {error}") from None
