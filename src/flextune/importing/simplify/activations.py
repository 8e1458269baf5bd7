"""Activations spelt out in several nodes, recognised by their values rather than by their spelling."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator

from flextune.importing.onnx_graph import OnnxGraph
from flextune.importing.simplify.links import Links, remove_unused

ELEMENTWISE = frozenset({"Add", "Div", "Erf", "Mul", "Neg", "Pow", "Sqrt", "Sub", "Tanh"})

SAMPLES = np.concatenate([np.linspace(-6, 6, 97), [-40.0, 40.0]]).astype(np.float32)
TOLERANCE = 2e-6
"""Of float32 arithmetic in another order; the exact form of GELU and the one by tanh differ by 5e-4."""

LONGEST = 10
"""Nodes that an activation is spelt in at most."""


def name_activations(graph: OnnxGraph) -> None:
    """Put one `Gelu` in place of the nodes that compute it.

    before: y = Mul(Mul(x, 0.5), Add(Erf(Div(x, 1.414)), 1))   -->   after: y = Gelu(x)
    """
    if not any(node.op_type in ("Erf", "Tanh") for node in graph.nodes) or graph.opset < 20:
        return
    links = Links.of(graph)
    roots: dict[str, list[str]] = {}
    for node in graph.nodes:
        roots[node.output[0]] = _roots(node, links, roots)
    taken: set[str] = set()
    for index in reversed(range(len(graph.nodes))):
        node = graph.nodes[index]
        if node.op_type != "Mul" or node.output[0] in taken:
            continue
        found = _activation(node, roots[node.output[0]], links, index)
        if found is not None:
            source, form, inner = found
            taken.update(inner)
            graph.nodes[index] = onnx.helper.make_node(
                "Gelu", [source], [node.output[0]], name=node.name, approximate=form
            )
    remove_unused(graph)


def _roots(node: onnx.NodeProto, links: Links, roots: dict[str, list[str]]) -> list[str]:
    """Values of the same shape that this node's result is a function of, element by element; the nearest first."""
    if node.op_type not in ELEMENTWISE or node.domain not in ("", "ai.onnx"):
        return []
    shape = links.extents.get(node.output[0])
    found: list[str] | None = None
    for name in node.input:
        if links.scalar(name) is not None:
            continue
        if links.constant(name) is not None or shape is None or links.extents.get(name) != shape:
            return []
        chain = [name, *roots.get(name, [])]
        found = chain if found is None else [each for each in found if each in chain]
    return found or []


def _activation(
    node: onnx.NodeProto, candidates: Sequence[str], links: Links, index: int
) -> tuple[str, str, set[str]] | None:
    for source in candidates:
        inner = _between(node, source, links)
        if inner is None:
            continue
        values = _values(
            [each for each in links.graph.nodes[: index + 1] if each.output[0] in inner], source, node, links
        )
        for form, function in FORMS.items():
            if values is not None and np.allclose(values, function(SAMPLES), rtol=TOLERANCE, atol=TOLERANCE):
                return source, form, inner - {node.output[0]}
    return None


def _between(node: onnx.NodeProto, source: str, links: Links) -> set[str] | None:
    """The values computed from `source` for this node; None if there are too many, or others read one of them."""
    inner, pending = {node.output[0]}, [node]
    while pending:
        for name in pending.pop().input:
            if name == source or name in inner or links.constant(name) is not None:
                continue
            inner.add(name)
            pending.append(links.writers[name])
        if len(inner) > LONGEST:
            return None
    for name in inner - {node.output[0]}:
        readers = links.readers.get(name, [])
        outside = any(reader.output[0] not in inner for reader in readers)
        if outside or name in links.graph.output_names():
            return None
    return inner


def _values(nodes: list[onnx.NodeProto], source: str, last: onnx.NodeProto, links: Links) -> np.ndarray | None:
    """What the nodes compute for `SAMPLES`, constants taken as numbers."""
    names = dict.fromkeys(name for node in nodes for name in node.input)
    initializers = [
        onnx.numpy_helper.from_array(constant.reshape(()), name)
        for name in names
        if (constant := links.constant(name)) is not None
    ]
    value = onnx.helper.make_tensor_value_info(source, onnx.TensorProto.FLOAT, [None])
    result = onnx.helper.make_tensor_value_info(last.output[0], onnx.TensorProto.FLOAT, [None])
    model = onnx.helper.make_model(
        onnx.helper.make_graph(nodes, "activation", [value], [result], initializers),
        opset_imports=[onnx.helper.make_opsetid("", links.graph.opset)],
    )
    try:
        with np.errstate(all="ignore"):
            values: np.ndarray = ReferenceEvaluator(model).run(None, {source: SAMPLES})[0]
    except (RuntimeError, ValueError, TypeError):
        return None
    return values


def _gelu(x: np.ndarray) -> np.ndarray:
    return np.array([value * 0.5 * (1.0 + math.erf(value / math.sqrt(2.0))) for value in x.astype(np.float64)])


def _gelu_tanh(x: np.ndarray) -> np.ndarray:
    wide = x.astype(np.float64)
    cubic: np.ndarray = 0.5 * wide * (1.0 + np.tanh(np.sqrt(2.0 / np.pi) * (wide + 0.044715 * wide**3)))
    return cubic


FORMS: dict[str, Callable[[np.ndarray], np.ndarray]] = {"none": _gelu, "tanh": _gelu_tanh}
"""Value of the attribute `approximate` -> the function."""
