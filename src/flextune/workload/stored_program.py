"""The check of programs that come from files: they may only compute.

A stored program is TVM's JSON graph of one PrimFunc. It is checked node by node before TVM sees it, against the grammar
of what such programs are made of: TVM would make any object of such a graph, also a function or a module, and would
compile a call of any function. The check needs no TVM, so that whoever reads records can afford it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from flextune.workload.stored_grammar import (
    ELEMENTS,
    NODES,
    TENSOR,
    Element,
    Field,
    Literal,
    Named,
    Node,
    Nodes,
    Number,
    Text,
    refused,
)
from flextune.workload.stored_types import OPERATIONS, check_types

MOST_BYTES: Final = 8 << 20
MOST_NODES: Final = 100_000
MOST_DEPTH: Final = 250
MOST_EXPANDED: Final = 2_000_000
"""Nodes of the program written out as a tree, in which what is shared occurs once for each use."""

_INT64: Final = range(-(2**63), 2**63)
_AXES: Final = ("m",)
"""Of memory; TVM's other axes are of GPUs' threads."""

_accepted: set[bytes] = set()


def check_stored_program(body: str) -> None:
    """Raises `UsageError` that names what a `tir` body has in it beside computing, or why it is no program.

    A body is checked once in a process, however many records hold it.
    """
    digest = hashlib.sha256(body.encode("utf-8", "surrogatepass")).digest()
    if digest not in _accepted:
        checked_graph(body)
        _accepted.add(digest)


def checked_graph(body: str) -> str:
    """The same program as JSON that every parser reads alike. Raises `UsageError` as `check_stored_program` does."""
    root, nodes = _parse(body)
    _Checker(nodes).check()
    return json.dumps({"root_index": root, "nodes": nodes})


def _parse(body: str) -> tuple[int, list[Any]]:
    if len(body) > MOST_BYTES:
        raise refused(f"its text has {len(body)} characters, at most {MOST_BYTES} are read")
    try:
        graph = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise refused(f"its text is not TVM's JSON: {error}") from None
    if not isinstance(graph, dict) or not {"root_index", "nodes"} <= set(graph) <= {"root_index", "nodes", "metadata"}:
        raise refused("its text is not a graph of 'nodes' with a 'root_index'")
    nodes, root = graph["nodes"], graph["root_index"]
    if not isinstance(nodes, list) or not 0 < len(nodes) <= MOST_NODES:
        raise refused(f"it needs a list of 1 to {MOST_NODES} nodes")
    if type(root) is not int or root != len(nodes) - 1:
        raise refused(f"its root must be its last node, {len(nodes) - 1}, not {root!r:.40}")
    return root, nodes


@dataclass(slots=True)
class _Checker:
    """Goes through the nodes in their order. Each may refer to earlier ones only, so there are no cycles.

    Per node that was checked: its kind, and how deep and how large the tree below it is.
    """

    nodes: Sequence[Any]
    kinds: list[str] = field(default_factory=list)
    depths: list[int] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)

    def check(self) -> None:
        for index, node in enumerate(self.nodes):
            if not isinstance(node, dict) or not {"type"} <= set(node) <= {"type", "data"}:
                raise refused(f"node {index} is not an object with a 'type' and 'data'")
            kind, data = node["type"], node.get("data")
            self._measure(self._children(index, kind, data))
            self.kinds.append(TENSOR if kind == "ir.Var" and self._is_tensor(data) else kind)
        if self.kinds[-1] != "tirx.PrimFunc":
            raise refused(f"it must be one PrimFunc, got {self.kinds[-1]}")
        check_types(self.nodes, self.kinds)

    def _is_tensor(self, variable: Any) -> bool:
        kind: str = self.kinds[variable["ty"]]
        return kind == "tirx.BufferType"

    def _measure(self, children: Sequence[int]) -> None:
        depth = 1 + max((self.depths[child] for child in children), default=0)
        size = 1 + sum(self.sizes[child] for child in children)
        if depth > MOST_DEPTH:
            raise refused(f"it is nested more than {MOST_DEPTH} deep")
        if size > MOST_EXPANDED:
            raise refused(f"written out it has more than {MOST_EXPANDED} nodes")
        self.depths.append(depth)
        self.sizes.append(size)

    def _children(self, index: int, kind: Any, data: Any) -> Sequence[int]:
        """The nodes that this one refers to, after a check of what it holds."""
        if isinstance(kind, str) and kind in NODES:
            return self._fields(index, kind, data)
        if kind in ("ffi.Array", "ffi.Map"):
            return self._references(index, data)
        if kind == "ir.Op" and (not isinstance(data, str) or data not in OPERATIONS):
            raise refused(f"it calls {data!s:.80} (node {index})")
        if not _is_scalar(kind, data):
            shown = kind if isinstance(kind, str) else repr(kind)
            raise refused(f"it holds {shown:.80} {data!r:.80} (node {index})")
        return ()

    def _fields(self, index: int, kind: str, data: Any) -> list[int]:
        grammar = NODES[kind]
        if not isinstance(data, dict) or data.keys() != grammar.keys():
            raise refused(f"node {index} is not a {kind} with {', '.join(grammar)}")
        children = []
        for name, expected in grammar.items():
            value = data[name]
            if not self._fits(index, expected, value):
                raise refused(f"node {index}: {name} of {kind} cannot be {self._shown(index, value)}")
            if not isinstance(expected, Literal | Number | Element):
                children.append(value)
        return children

    def _fits(self, index: int, expected: Field, value: Any) -> bool:
        if isinstance(expected, Literal):
            return any(value is allowed or (type(value) is int and value == allowed) for allowed in expected.values)
        if isinstance(expected, Number):
            return type(value) in (int, float)
        if isinstance(expected, Element):
            return isinstance(value, str) and value in ELEMENTS
        if type(value) is not int or not 0 <= value < index:
            return False
        kind, data = self.kinds[value], self.nodes[value].get("data")
        match expected:
            case Node(kinds):
                return kind in kinds
            case Nodes(kinds):
                return kind == "ffi.Array" and all(self.kinds[item] in kinds for item in data)
            case Text(words):
                return kind == "ffi.String" and (words is None or data in words)
            case Named(kinds_of):
                return kind == "ffi.Map" and self._has_names(kinds_of, data)

    def _has_names(self, kinds_of: Mapping[str, frozenset[str]], data: Sequence[int]) -> bool:
        """Whether a map's keys are strings, and its values of the kinds for these, or arrays of such."""
        for key, value in zip(data[::2], data[1::2], strict=True):
            if self.kinds[key] != "ffi.String":
                return False
            name = self.nodes[key]["data"]
            if name not in kinds_of:
                raise refused(f"it has the attribute {name!r:.80}")
            items = self.nodes[value]["data"] if self.kinds[value] == "ffi.Array" else (value,)
            if not {self.kinds[item] for item in items} <= kinds_of[name]:
                return False
        return True

    def _references(self, index: int, data: Any) -> list[int]:
        if not isinstance(data, list) or not all(type(item) is int and 0 <= item < index for item in data):
            raise refused(f"node {index} does not list the numbers of earlier nodes")
        if self.nodes[index]["type"] == "ffi.Map" and len(data) % 2:
            raise refused(f"node {index} is a map with a key that has no value")
        return data

    def _shown(self, index: int, value: Any) -> str:
        """What a field refers to, for messages."""
        if type(value) is not int or not 0 <= value < index:
            return f"{value!r:.40}"
        node = self.nodes[value]
        return f"{node['type']} {node['data']!r:.80}" if isinstance(node.get("data"), str) else str(node["type"])


def _is_scalar(kind: Any, data: Any) -> bool:
    """Whether this is a node without references that a program may have."""
    match kind:
        case "None":
            return data is None
        case "bool":
            return isinstance(data, bool)
        case "int":
            return type(data) is int and data in _INT64
        case "ffi.String" | "ir.Op":  # of operators, only names that are known come here
            return isinstance(data, str)
        case "tirx.Axis":
            return data in _AXES
        case _:
            return False
