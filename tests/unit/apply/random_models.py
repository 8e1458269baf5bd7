"""Random ONNX models in which tensors are concatenated, sliced, reshaped and computed from each other."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import helper

from flextune.testing.models import model_of, value

Shape = tuple[int, ...]


@dataclass(slots=True)
class _Writer:
    rng: np.random.Generator
    shapes: dict[str, Shape] = field(default_factory=dict)
    constants: dict[str, np.ndarray] = field(default_factory=dict)
    nodes: list[onnx.NodeProto] = field(default_factory=list)

    def tensor(self, shape: Shape) -> str:
        name = f"t{len(self.shapes)}"
        self.shapes[name] = shape
        return name

    def constant(self, array: np.ndarray) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = array
        return name

    def node(self, kind: str, inputs: list[str], *shapes: Shape, **attributes: object) -> None:
        outputs = [self.tensor(shape) for shape in shapes]
        self.nodes.append(helper.make_node(kind, inputs, outputs, **attributes))

    def numbers(self, *values: int) -> str:
        return self.constant(np.array(values, np.int64))

    def add(self, source: str) -> None:
        kinds = (self.unary, self.product, self.concat, self.concat, self.concat, self.slice, self.split, self.flatten)
        kinds[int(self.rng.integers(len(kinds)))](source, self.shapes[source])

    def unary(self, source: str, shape: Shape) -> None:
        self.node(str(self.rng.choice(["Relu", "Sigmoid", "Neg"])), [source], shape)

    def product(self, source: str, shape: Shape) -> None:
        channels = int(self.rng.choice([4, 8, 16, 24]))
        if len(shape) == 4:
            weights = self.rng.standard_normal((channels, shape[1], 1, 1)).astype(np.float32)
            self.node("Conv", [source, self.constant(weights / 4)], (shape[0], channels, *shape[2:]))
        else:
            weights = self.rng.standard_normal((shape[-1], channels)).astype(np.float32)
            self.node("MatMul", [source, self.constant(weights / 4)], (*shape[:-1], channels))

    def concat(self, source: str, shape: Shape) -> None:
        axis = int(self.rng.integers(len(shape)))
        fitting = [name for name, other in self.shapes.items() if _but(other, axis) == _but(shape, axis)]
        chosen = [source, *map(str, self.rng.choice(fitting, int(self.rng.integers(1, 4))))]
        extents = [self.shapes[name][axis] for name in chosen]
        if self.rng.random() < 0.15:
            extents.append(8)
            chosen.append(self.constant(self.rng.random((*shape[:axis], 8, *shape[axis + 1 :])).astype(np.float32)))
        if sum(extents) <= 160:
            self.node("Concat", chosen, (*shape[:axis], sum(extents), *shape[axis + 1 :]), axis=axis)

    def slice(self, source: str, shape: Shape) -> None:
        axis = int(self.rng.integers(len(shape)))
        begin = int(self.rng.integers(shape[axis]))
        end = int(self.rng.integers(begin, shape[axis])) + 1
        where = [self.numbers(begin), self.numbers(end), self.numbers(axis)]
        self.node("Slice", [source, *where], (*shape[:axis], end - begin, *shape[axis + 1 :]))

    def split(self, source: str, shape: Shape) -> None:
        axis = int(self.rng.integers(len(shape)))
        if shape[axis] % 2 == 0:
            half = (*shape[:axis], shape[axis] // 2, *shape[axis + 1 :])
            self.node("Split", [source, self.numbers(half[axis], half[axis])], half, half, axis=axis)

    def flatten(self, source: str, shape: Shape) -> None:
        if len(shape) > 2:
            axis = int(self.rng.integers(len(shape) - 1))
            merged = (*shape[:axis], shape[axis] * shape[axis + 1], *shape[axis + 2 :])
            self.node("Reshape", [source, self.numbers(*merged)], merged)


def random_model(seed: int) -> onnx.ModelProto:
    """A model of up to 14 nodes on tensors of rank 2, 3 or 4; some of what is read inside is returned, too."""
    rng = np.random.default_rng(seed)
    writer = _Writer(rng)
    rank = int(rng.integers(2, 5))
    shape = (2, *map(int, rng.choice([8, 16, 32], 1)), *map(int, rng.choice([3, 5, 8], rank - 2)))
    inputs = [writer.tensor(shape), writer.tensor(shape)]
    for _ in range(14):
        writer.add(str(rng.choice(list(writer.shapes)[-5:])))
    read = {name for node in writer.nodes for name in node.input}
    made = [name for name in writer.shapes if name not in inputs]
    returned = [name for name in made if name not in read or rng.random() < 0.1]
    described = ([value(name, writer.shapes[name]) for name in names] for names in (inputs, returned))
    return model_of(writer.nodes, *described, writer.constants, opset=13)


def _but(shape: Shape, axis: int) -> tuple[Shape, Shape, int]:
    return shape[:axis], shape[axis + 1 :], len(shape)
