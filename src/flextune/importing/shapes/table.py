"""What the Shape Tracker finds: every tensor's shape, the ranges of all sizes, and what could not be found and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from flextune.importing.shapes.tracked import Known, Shape, Tracked
from flextune.workload.dim import Dim
from flextune.workload.dim_expr import DimExpr


@dataclass(frozen=True, slots=True)
class DecidedSize:
    """A size that data decide while the model runs."""

    dim: Dim
    """Its name, and the range it is in."""
    most: DimExpr | None
    """What it cannot exceed, as an expression over other sizes; None where nothing is known but the range."""
    about: str
    """What it counts, and in which node."""

    def __str__(self) -> str:
        limit = f" <= {self.most}" if self.most is not None else ", without a limit that is known"
        return f"{self.dim.name}{limit}: {self.about}"


@dataclass(frozen=True, slots=True)
class Demand:
    """What holds of sizes in every valid run: two are the same, or (without `right`) one is not negative.

    With `stretches`, one of the two may also be 1.
    """

    left: DimExpr
    right: DimExpr | None
    about: str
    stretches: bool = False

    def __str__(self) -> str:
        relation = ">= 0" if self.right is None else f"= {self.right}"
        return f"{self.left} {relation}{' (or one of them is 1)' if self.stretches else ''}: {self.about}"

    @property
    def names(self) -> frozenset[str]:
        """Those of the dimensions that it is about."""
        return self.left.names if self.right is None else self.left.names | self.right.names

    def holds(self, sizes: Mapping[str, int]) -> bool:
        """For these sizes."""
        left = self.left.bind(sizes)
        if self.right is None:
            return left >= 0
        right = self.right.bind(sizes)
        return left == right or (self.stretches and 1 in (left, right))


@dataclass(frozen=True, slots=True)
class Problem:
    """A node whose results could not be followed, and what is missing."""

    node: str
    reason: str

    def __str__(self) -> str:
        return f"{self.node}: {self.reason}"


@dataclass(frozen=True, slots=True, eq=False)
class ShapeTable:
    """The result of following a model's shapes."""

    tensors: Mapping[str, Known]
    """By name: inputs, constants and results of all nodes outside of other nodes."""
    dims: Mapping[str, Dim]
    """The ranges of all sizes by name: those of inputs, then those that data decide."""
    decided: tuple[DecidedSize, ...]
    demands: tuple[Demand, ...]
    problems: tuple[Problem, ...]

    def shape(self, name: str) -> Shape | None:
        """That of a tensor, if it is known."""
        found = self.tensors.get(name)
        return found.shape if isinstance(found, Tracked) else None

    def elements(self, name: str) -> tuple[DimExpr, ...] | None:
        """Those of a small tensor of integers, if all are known."""
        found = self.tensors.get(name)
        if not isinstance(found, Tracked) or found.elements is None:
            return None
        sizes = [None if each is None else each.size for each in found.elements.reshape(-1)]
        return None if None in sizes else tuple(size for size in sizes if size is not None)

    def text(self, name: str) -> str:
        """A tensor's shape as people read it: `[batch, 2*seq, 768]`.

        `?` stands for a tensor of which no shape is known.
        """
        shape = self.shape(name)
        return "?" if shape is None else f"[{', '.join(map(str, shape))}]"
