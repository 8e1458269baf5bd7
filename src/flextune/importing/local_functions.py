"""The functions that a model brings: whether they and their calls are in order, and how much they expand to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import onnx

from flextune.errors import ModelError
from flextune.importing.onnx_graph import nested_graphs

MOST_NODES = 200_000
"""Of a model whose functions are replaced by their bodies; the largest that is deployed has some ten thousand."""

FunctionKey = tuple[str, str, str]
Functions = Mapping[FunctionKey, onnx.FunctionProto]


def check_functions(proto: onnx.ModelProto, source: str) -> None:
    """Raise ModelError for functions that are defined twice, recursive, called with too much, or without end.

    Replacing calls by bodies doubles the nodes with every function that calls the one before twice, so they are counted
    first.
    """
    functions: dict[FunctionKey, onnx.FunctionProto] = {}
    for function in proto.functions:
        key = (function.domain, function.name, getattr(function, "overload", ""))
        if key in functions:
            raise ModelError(f"{source} defines function {_title(key)} twice: export it again")
        functions[key] = function
    sizes: dict[FunctionKey, int] = {}
    for key in functions:
        _measure(key, functions, sizes, source)
    total = _size(proto.graph.node, functions, sizes, source)
    if total > MOST_NODES:
        raise ModelError(f"{source} has {total} nodes once its functions are written out; at most {MOST_NODES} can be")


def _measure(key: FunctionKey, functions: Functions, sizes: dict[FunctionKey, int], source: str) -> None:
    """Put the sizes of a function and of all that it calls into `sizes`, those that are called first."""
    path = [key]
    while path:
        called = {_key(node) for node in _all_nodes(functions[path[-1]].node)} & functions.keys()
        if waiting := sorted(called - sizes.keys()):
            if waiting[0] in path:
                raise ModelError(f"{source}: function {_title(waiting[0])} calls itself: export the model without it")
            path.append(waiting[0])
        else:
            done = path.pop()
            sizes[done] = _size(functions[done].node, functions, sizes, source)


def _size(nodes: Iterable[onnx.NodeProto], functions: Functions, sizes: Mapping[FunctionKey, int], source: str) -> int:
    total = 0
    for node in _all_nodes(nodes):
        function = functions.get(_key(node))
        if function is not None:
            _check_call(node, function, source)
        total += 1 if function is None else sizes[_key(node)]
    return total


def _check_call(node: onnx.NodeProto, function: onnx.FunctionProto, source: str) -> None:
    for what, given, known in (
        ("inputs", len(node.input), len(function.input)),
        ("outputs", len(node.output), len(function.output)),
    ):
        if given > known:
            name = node.name or ", ".join(node.output)
            raise ModelError(
                f"{source}: {name} calls function {_title(_key(node))} with {given} {what}; it has {known}"
            )


def _key(node: onnx.NodeProto) -> FunctionKey:
    return (node.domain, node.op_type, getattr(node, "overload", ""))


def _title(key: FunctionKey) -> str:
    return "::".join(part for part in key if part)


def _all_nodes(nodes: Iterable[onnx.NodeProto]) -> Iterable[onnx.NodeProto]:
    waiting = list(nodes)
    while waiting:
        node = waiting.pop()
        yield node
        waiting.extend(inner for graph in nested_graphs(node) for inner in graph.node)
