"""Operators that ONNX Runtime's tools write for several plain ones, and those of scikit-learn's converter.

before: y = com.microsoft.FusedConv(x, w, activation=Relu)   -->   after: t = Conv(x, w); y = Relu(t)
"""

from __future__ import annotations

from collections.abc import Mapping

from flextune.errors import ModelError
from flextune.importing.onnx_graph import OnnxGraph
from flextune.importing.simplify.classical import CLASSICAL
from flextune.importing.simplify.fused_attention import ATTENTIONS
from flextune.importing.simplify.fused_layers import LAYERS
from flextune.importing.simplify.grouped_attention import group_query_attention
from flextune.importing.simplify.opset import COMMON
from flextune.importing.simplify.spelling import Form, write_forms
from flextune.importing.simplify.training import OPTIMIZERS
from flextune.importing.simplify.writer import MICROSOFT

FUSED: Mapping[tuple[str, str], Form] = {
    **LAYERS,
    **ATTENTIONS,
    (MICROSOFT, "GroupQueryAttention"): group_query_attention,
    **CLASSICAL,
    **OPTIMIZERS,
}
"""Domain and operator -> what writes it by others."""


def spell_out_fused(graph: OnnxGraph) -> None:
    """Write operators of other sets than the default one by those of the default one (see the module text)."""
    meant = [node for node in graph.nodes if (node.domain, node.op_type) in FUSED]
    if not meant:
        return
    if graph.opset < COMMON:
        raise ModelError(f"model {graph.name!r} uses {meant[0].op_type} with operator set {graph.opset}: 7 is needed")
    before = -1
    while meant and len(meant) != before:
        # shapes behind an operator are known only once it is written by others
        before = len(meant)
        write_forms(graph, lambda node: FUSED.get((node.domain, node.op_type)), waits=True)
        meant = [node for node in graph.nodes if (node.domain, node.op_type) in FUSED]
    if meant:
        write_forms(graph, lambda node: FUSED.get((node.domain, node.op_type)))
