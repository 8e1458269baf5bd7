"""Loops and branches of a graph as values: what is repeated or chosen is a graph of its own, a *region*.

A node of `DOMAIN` stands for a region in the graph around it. What the region reads from outside are inputs of the
node, so that no rule needs to look into it.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

import onnx

from flextune.workload.dim_expr import DimExpr, Size

if TYPE_CHECKING:
    from flextune.importing.onnx_graph import OnnxGraph

DOMAIN = "flextune"
UNLIMITED = 2**63 - 1
"""Iterations of a loop that ends by its condition only."""


@dataclass(frozen=True, slots=True)
class LoopForm:
    """How a loop uses what its node is given, and what it gives.

    The node takes, in this order: the number of iterations (an int64 scalar) if `counted`; whether to begin (a boolean
    scalar) if `guarded`; the first values of what is carried; the tensors that are scanned along their first axis; what
    every iteration reads alike. Its body takes the number of the iteration if `numbered`, what is carried, a slice of
    each scanned tensor, and what all read. The body gives whether to go on if `guarded`, what is carried on, and a
    slice of each collected tensor. The node gives the last values of what is carried, and the collected tensors.

    >>> LoopForm.parse(str(LoopForm(7, carried=2, scanned=(True,)))).scanned
    (True,)
    """

    limit: Size
    """The most iterations; with `scanned` or `collected` it is their number."""
    counted: bool = False
    guarded: bool = False
    numbered: bool = False
    carried: int = 0
    """How many tensors every iteration hands to the next one; the shape of each stays."""
    scanned: tuple[bool, ...] = ()
    """For each scanned tensor, whether from the last slice to the first."""
    collected: tuple[bool, ...] = ()
    """For each collected tensor, whether the last slice is written first."""

    def __str__(self) -> str:
        limit = self.limit if isinstance(self.limit, int) else str(self.limit)
        return json.dumps(asdict(replace(self, limit=0)) | {"limit": limit})

    @classmethod
    def parse(cls, text: str) -> LoopForm:
        """Inverse of `str`."""
        raw = json.loads(text)
        limit = raw["limit"] if isinstance(raw["limit"], int) else DimExpr.parse(raw["limit"])
        return cls(**raw | {"limit": limit} | {name: tuple(raw[name]) for name in ("scanned", "collected")})


@dataclass(frozen=True, slots=True, eq=False)
class Region:
    """A loop with its one body, or (without a form) a branch: what is done if its first input is true, and otherwise.

    Both bodies of a branch take all of its other inputs.
    """

    form: LoopForm | None
    bodies: tuple[OnnxGraph, ...]


def region_node(name: str, inputs: list[str], outputs: list[str]) -> onnx.NodeProto:
    """The node that stands for region `name` of its graph."""
    return onnx.helper.make_node("Region", inputs, outputs, name=name, domain=DOMAIN, region=name)


def region_name(node: onnx.NodeProto) -> str:
    """The name of the region that a node stands for; empty for any other node."""
    if node.domain != DOMAIN:
        return ""
    return next((entry.s.decode() for entry in node.attribute if entry.name == "region"), "")
