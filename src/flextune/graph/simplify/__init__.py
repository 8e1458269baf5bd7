"""Rewriting a model on the ONNX level before it is imported: the same outputs from fewer, plainer nodes."""

from __future__ import annotations

from flextune.graph.onnx_graph import OnnxGraph
from flextune.graph.simplify.activations import name_activations
from flextune.graph.simplify.affine import fold_affine
from flextune.graph.simplify.axes import positive_axes
from flextune.graph.simplify.bounds import compare_bounds
from flextune.graph.simplify.branches import take_branches
from flextune.graph.simplify.constants import fold_constants, fold_shapes
from flextune.graph.simplify.exponents import cast_exponents
from flextune.graph.simplify.identities import remove_identities, split_variadic
from flextune.graph.simplify.masks import constant_masks
from flextune.graph.simplify.movement import plain_movement
from flextune.graph.simplify.neutral import remove_neutral
from flextune.graph.simplify.normalization import spell_out_layer_norms
from flextune.graph.simplify.opset import upgrade_operators
from flextune.graph.simplify.padding import clip_windows, explicit_padding, pad_by_convolution, split_negative_pads
from flextune.graph.simplify.ranks import full_rank_constants
from flextune.graph.simplify.recurrent import written_out_steps
from flextune.graph.simplify.refusals import refuse_elements, refuse_misread
from flextune.graph.simplify.rows import linear_over_rows, scale_weights, separate_projections
from flextune.graph.simplify.shifts import bounded_shifts
from flextune.graph.simplify.slices import lift_slices, slice_constant_reads
from flextune.graph.simplify.slopes import select_slopes
from flextune.graph.simplify.splits import explicit_splits
from flextune.graph.simplify.transposed import plain_convolutions

RULES = (
    refuse_elements,
    take_branches,
    upgrade_operators,
    split_variadic,
    constant_masks,
    remove_identities,
    fold_constants,
    fold_shapes,
    written_out_steps,
    fold_constants,
    remove_neutral,
    slice_constant_reads,
    plain_movement,
    lift_slices,
    linear_over_rows,
    separate_projections,
    plain_movement,
    scale_weights,
    remove_identities,
    name_activations,
    positive_axes,
    explicit_padding,
    clip_windows,
    split_negative_pads,
    pad_by_convolution,
    explicit_splits,
    cast_exponents,
    bounded_shifts,
    compare_bounds,
    select_slopes,
    spell_out_layer_norms,
    fold_affine,
    plain_convolutions,
    full_rank_constants,
    refuse_misread,
)
"""In the order they run; each takes an `OnnxGraph` and changes it in place."""


def simplify(graph: OnnxGraph) -> None:
    """Apply every rule once, in order."""
    for rule in RULES:
        rule(graph)
