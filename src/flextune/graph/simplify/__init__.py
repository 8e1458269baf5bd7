"""Rewriting a model on the ONNX level before it is imported: the same outputs from fewer, plainer nodes."""

from __future__ import annotations

from flextune.graph.onnx_graph import OnnxGraph
from flextune.graph.simplify.affine import fold_affine
from flextune.graph.simplify.constants import fold_constants, fold_shapes
from flextune.graph.simplify.identities import remove_identities, split_variadic
from flextune.graph.simplify.ranks import full_rank_constants

RULES = (
    split_variadic,
    remove_identities,
    fold_constants,
    fold_shapes,
    fold_constants,
    fold_affine,
    full_rank_constants,
)
"""In the order they run; each takes an `OnnxGraph` and changes it in place."""


def simplify(graph: OnnxGraph) -> None:
    """Apply every rule once, in order."""
    for rule in RULES:
        rule(graph)
