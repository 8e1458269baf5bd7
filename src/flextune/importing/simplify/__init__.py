"""Rewriting a model on the ONNX level before it is imported: the same outputs from fewer, plainer nodes."""

from __future__ import annotations

from flextune.importing.onnx_graph import OnnxGraph
from flextune.importing.simplify.activations import name_activations
from flextune.importing.simplify.affine import fold_affine
from flextune.importing.simplify.axes import positive_axes
from flextune.importing.simplify.bounds import compare_bounds
from flextune.importing.simplify.branches import take_branches
from flextune.importing.simplify.constants import fold_constants, fold_shapes
from flextune.importing.simplify.exponents import cast_exponents
from flextune.importing.simplify.identities import remove_identities, split_variadic
from flextune.importing.simplify.masks import constant_masks
from flextune.importing.simplify.movement import plain_movement
from flextune.importing.simplify.neutral import remove_neutral
from flextune.importing.simplify.normalization import spell_out_layer_norms
from flextune.importing.simplify.opset import upgrade_operators
from flextune.importing.simplify.padding import clip_windows, explicit_padding, pad_by_convolution, split_negative_pads
from flextune.importing.simplify.ranks import full_rank_constants
from flextune.importing.simplify.recurrent import written_out_steps
from flextune.importing.simplify.refusals import refuse_elements, refuse_misread
from flextune.importing.simplify.rows import linear_over_rows, scale_weights, separate_projections
from flextune.importing.simplify.shifts import bounded_shifts
from flextune.importing.simplify.slices import lift_slices, slice_constant_reads
from flextune.importing.simplify.slopes import select_slopes
from flextune.importing.simplify.splits import explicit_splits
from flextune.importing.simplify.transposed import plain_convolutions

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
