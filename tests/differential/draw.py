"""What a random case is drawn from: a seeded generator, the value that the operator reads, and its shape."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import helper

OPSET = 20
FLOAT = np.dtype(np.float32)
SPECIAL = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e30, -1e30, 1e-30], np.float32)


def values_of(rng: np.random.Generator, shape: Sequence[int], dtype: np.dtype) -> np.ndarray:
    """Normal values as floats; whole numbers from -4, or 0, to 4; bits."""
    if dtype.kind == "b":
        return np.asarray(rng.integers(0, 2, tuple(shape)).astype(bool))
    if dtype.kind in "iu":
        return np.asarray(rng.integers(0 if dtype.kind == "u" else -4, 5, tuple(shape)).astype(dtype))
    return np.asarray(rng.standard_normal(tuple(shape)).astype(dtype))


@dataclass(slots=True)
class Draw:
    """One case in the making. Operators read `source`, of this shape, and write `y`, `y1`, ... in this order."""

    rng: np.random.Generator
    source: str
    shape: tuple[int, ...]
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: dict[str, np.ndarray] = field(default_factory=dict)
    inputs: dict[str, np.ndarray] = field(default_factory=dict)
    dtype: np.dtype = FLOAT
    """Of the source, and of the operands that have the same type."""
    opset: int = OPSET

    @property
    def rank(self) -> int:
        return len(self.shape)

    def one_of(self, *choices: object) -> object:
        return choices[self.rng.integers(len(choices))]

    def chance(self) -> bool:
        return bool(self.rng.integers(2))

    def below(self, limit: int) -> int:
        return int(self.rng.integers(limit))

    def axis(self) -> int:
        """Any axis, counted from the front or from the back."""
        return self.below(2 * self.rank) - self.rank

    def axes(self, count: int | None = None) -> list[int]:
        """Some axes, each once, in any order, counted from either end."""
        size = 1 + self.below(self.rank) if count is None else count
        chosen = self.rng.permutation(self.rank)[:size]
        return [int(axis) - (self.rank if self.chance() else 0) for axis in chosen]

    def normal(self, *shape: int) -> np.ndarray:
        """Values of the source's type: normal ones, small whole numbers, or bits."""
        return values_of(self.rng, shape, self.dtype)

    def input(self, array: np.ndarray) -> str:
        """The name of a new input with this value."""
        name = f"i{len(self.inputs)}"
        self.inputs[name] = np.asarray(array)
        return name

    def constant(self, array: np.ndarray | np.generic | Sequence[int]) -> str:
        """The name of a new constant; plain numbers are int64."""
        name = f"k{len(self.constants)}"
        self.constants[name] = np.asarray(array, None if isinstance(array, np.ndarray | np.generic) else np.int64)
        return name

    def operand(self, array: np.ndarray) -> str:
        """The name of a new constant, or of an input with this value."""
        return self.constant(array) if self.chance() else self.input(array)

    def broadcast(self) -> tuple[int, ...]:
        """A shape that broadcasts onto the source's: axes of one, and of leading axes some left out."""
        shape = [size if self.chance() else 1 for size in self.shape]
        return tuple(shape[self.below(self.rank + 1) :])

    def node(self, operator: str, *inputs: str, outputs: int = 1, **attributes: object) -> None:
        """The operator on these inputs."""
        names = ["y", *(f"y{place}" for place in range(1, outputs))]
        self.nodes.append(helper.make_node(operator, list(inputs), names, **attributes))

    def apply(self, operator: str, *more: str, outputs: int = 1, **attributes: object) -> None:
        """The operator on the source and these inputs."""
        self.node(operator, self.source, *more, outputs=outputs, **attributes)
