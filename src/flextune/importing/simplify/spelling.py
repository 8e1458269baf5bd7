"""Operators of the default set that are written by others, as the importer lacks them or has them in part."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import onnx

from flextune.importing.onnx_graph import OnnxGraph, attribute
from flextune.importing.simplify.constants import only_static, partial_shapes
from flextune.importing.simplify.element_types import element_types
from flextune.importing.simplify.elements import (
    bit_cast,
    determinant,
    eye_like,
    is_inf,
    lp_normalization,
    mod,
    space_to_depth,
    top_k,
)
from flextune.importing.simplify.ngrams import count_sequences
from flextune.importing.simplify.pooling import col2im, conv_transpose_pads, max_pool, max_unpool
from flextune.importing.simplify.positions import (
    compress,
    cumulative_product,
    one_hot,
    reverse_sequence,
    tensor_scatter,
)
from flextune.importing.simplify.regions import roi_align
from flextune.importing.simplify.sampling import deformable_convolution, grid_sample
from flextune.importing.simplify.spectral import dft, mel_weight_matrix, stft
from flextune.importing.simplify.training import batch_norm, dropout
from flextune.importing.simplify.writer import UnknownValueError, Writer

Form = Callable[[Writer], None]

OLDEST_OPSET = 18
"""Reductions have their axes as an input; older graphs are brought to a newer set before."""

SPELT_OUT: Mapping[str, Form] = {
    "BatchNormalization": batch_norm,
    "BitCast": bit_cast,
    "Col2Im": col2im,
    "Compress": compress,
    "ConvTranspose": conv_transpose_pads,
    "CumProd": cumulative_product,
    "DFT": dft,
    "DeformConv": deformable_convolution,
    "Det": determinant,
    "Dropout": dropout,
    "EyeLike": eye_like,
    "GridSample": grid_sample,
    "IsInf": is_inf,
    "LpNormalization": lp_normalization,
    "MaxPool": max_pool,
    "MaxUnpool": max_unpool,
    "MelWeightMatrix": mel_weight_matrix,
    "Mod": mod,
    "OneHot": one_hot,
    "ReverseSequence": reverse_sequence,
    "RoiAlign": roi_align,
    "STFT": stft,
    "SpaceToDepth": space_to_depth,
    "TensorScatter": tensor_scatter,
    "TfIdfVectorizer": count_sequences,
    "TopK": top_k,
}
"""Operator -> what writes it by others; a node that the importer reads well is written as it is."""


def spell_out_operators(graph: OnnxGraph) -> None:
    """Write operators that the importer lacks, or has in part, by others.

    before: y = LpNormalization(x, p=2)   -->   after: n = ReduceL2(x); y = Where(n = 0, 0, Div(x, n))
    """
    if graph.opset < OLDEST_OPSET or not any(_is_meant(node) for node in graph.nodes):
        return
    write_forms(graph, lambda node: SPELT_OUT[node.op_type] if _is_meant(node) else None)


def write_forms(graph: OnnxGraph, form_of: Callable[[onnx.NodeProto], Form | None], waits: bool = False) -> None:
    """Put what forms write in the place of the nodes that have one; `waits` leaves those that need unknown shapes."""
    partial, types = partial_shapes(graph), element_types(graph)
    shapes = only_static(partial)
    nodes: list[onnx.NodeProto] = []
    for node in graph.nodes:
        form = form_of(node)
        if form is None:
            nodes.append(node)
            continue
        writer = Writer(graph, node, shapes, types, partial=partial)
        try:
            form(writer)
        except UnknownValueError:
            if not waits:
                raise
            nodes.append(node)
            continue
        nodes += writer.nodes
    graph.nodes = nodes


def _is_meant(node: onnx.NodeProto) -> bool:
    if node.domain not in ("", "ai.onnx") or node.op_type not in SPELT_OUT:
        return False
    if node.op_type == "MaxPool":
        return len(node.output) > 1 and bool(node.output[1])
    if node.op_type == "BatchNormalization":
        return bool(attribute(node, "training_mode", 0))
    if node.op_type == "Dropout":
        return len(node.input) > 2
    return node.op_type != "ConvTranspose" or any(entry.name == "output_shape" for entry in node.attribute)
