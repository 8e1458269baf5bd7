"""Rewriting a model on the ONNX level before it is imported: the same outputs from fewer, plainer nodes."""

from __future__ import annotations

from collections.abc import Collection

from flextune.importing.onnx_graph import OnnxGraph
from flextune.importing.passes import Observer, Pass, in_place, run_passes
from flextune.importing.simplify.activations import name_activations
from flextune.importing.simplify.affine import fold_affine
from flextune.importing.simplify.axes import positive_axes
from flextune.importing.simplify.block_weights import rows_of_blocks
from flextune.importing.simplify.bounds import compare_bounds
from flextune.importing.simplify.branches import take_branches
from flextune.importing.simplify.constants import fold_constants, fold_shapes
from flextune.importing.simplify.control import separate_control_flow
from flextune.importing.simplify.division import safe_divisions
from flextune.importing.simplify.empty import empty_values
from flextune.importing.simplify.exponents import cast_exponents
from flextune.importing.simplify.fused import spell_out_fused
from flextune.importing.simplify.halves import compute_halves_in_float32
from flextune.importing.simplify.identities import narrow_concatenations, remove_identities, split_variadic
from flextune.importing.simplify.masks import constant_masks
from flextune.importing.simplify.movement import plain_movement
from flextune.importing.simplify.narrow_types import bytes_of_narrow_types
from flextune.importing.simplify.neutral import remove_neutral
from flextune.importing.simplify.normalization import normalize_rows, spell_out_layer_norms
from flextune.importing.simplify.opset import upgrade_operators
from flextune.importing.simplify.other_types import rewrite_other_types
from flextune.importing.simplify.padding import clip_windows, explicit_padding, pad_by_convolution, split_negative_pads
from flextune.importing.simplify.quantized_operators import spell_out_quantized
from flextune.importing.simplify.ranks import full_rank_constants
from flextune.importing.simplify.recurrent import recurrent_loops
from flextune.importing.simplify.reductions import reductions_of_nothing
from flextune.importing.simplify.refusals import refuse_elements, refuse_misread
from flextune.importing.simplify.regions import shifted_regions
from flextune.importing.simplify.resizes import explicit_resizes
from flextune.importing.simplify.rows import linear_over_rows, scale_weights, separate_projections
from flextune.importing.simplify.shifts import bounded_shifts
from flextune.importing.simplify.sizes import refuse_sizes
from flextune.importing.simplify.slices import lift_slices, slice_constant_reads
from flextune.importing.simplify.slopes import select_slopes
from flextune.importing.simplify.spelling import spell_out_operators
from flextune.importing.simplify.splits import explicit_splits
from flextune.importing.simplify.transposed import plain_convolutions

_REFUSES = "it refuses models that would be computed wrongly"
_READS = "the importer fails on what it rewrites, or takes it for something else"
_SUMS = "sums of 16-bit floats are wrong in 16 bits, and the importer fails on half of the operators"


def loops_of_recurrent_layers(graph: OnnxGraph) -> None:
    """Replace `LSTM`, `GRU` and `RNN` by one product with all inputs, and a loop over the steps for each direction.

    before: y = RNN(x[2,1,8], W, R, initial_h=h)
    after:  p = MatMul(x, W'); y = loop over the slices of p, from h on: h = Tanh(slice + MatMul(h, R'))
    """
    recurrent_loops(graph, simplify)


def regions_of_control_flow(graph: OnnxGraph) -> None:
    """Make the graphs inside `Loop`, `Scan` and `If` graphs of their own, which say what they read from outside.

    before: y = If(c, then: {a = Add(x, w)}, else: {...})   -->   after: y = Region(c, x); {a = Add(x, w)} apart from it
    """
    separate_control_flow(graph, simplify)


PASSES: tuple[Pass[OnnxGraph], ...] = (
    in_place(rows_of_blocks, _READS),
    in_place(spell_out_quantized, _READS),
    in_place(bytes_of_narrow_types, _READS),
    in_place(refuse_elements, _REFUSES),
    in_place(fold_constants, _READS),
    in_place(refuse_sizes, _REFUSES),
    in_place(take_branches, _READS),
    in_place(compute_halves_in_float32, _SUMS),
    in_place(regions_of_control_flow, _READS),
    in_place(fold_shapes, _READS),
    in_place(fold_constants, _READS),
    in_place(upgrade_operators, _READS),
    in_place(spell_out_fused, _READS),
    in_place(split_variadic, _READS),
    in_place(narrow_concatenations, _READS),
    in_place(constant_masks, _READS),
    in_place(remove_identities),
    in_place(fold_constants, _READS),
    in_place(fold_shapes, _READS),
    in_place(loops_of_recurrent_layers, _READS),
    in_place(fold_constants, _READS),
    in_place(spell_out_operators, _READS),
    in_place(fold_constants, _READS),
    in_place(empty_values, _READS),
    in_place(fold_constants, _READS),
    in_place(refuse_sizes, _REFUSES),
    in_place(reductions_of_nothing, _READS),
    in_place(shifted_regions, _READS),
    in_place(explicit_resizes, _READS),
    in_place(remove_neutral),
    in_place(slice_constant_reads),
    in_place(plain_movement),
    in_place(lift_slices),
    in_place(linear_over_rows),
    in_place(separate_projections),
    in_place(plain_movement),
    in_place(scale_weights),
    in_place(remove_identities),
    in_place(name_activations),
    in_place(positive_axes, _READS),
    in_place(explicit_padding, _READS),
    in_place(clip_windows, _READS),
    in_place(split_negative_pads, _READS),
    in_place(pad_by_convolution),
    in_place(explicit_splits, _READS),
    in_place(cast_exponents, _READS),
    in_place(rewrite_other_types, _READS),
    in_place(safe_divisions, "generated code ends the process where it divides by 0"),
    in_place(bounded_shifts, _READS),
    in_place(compare_bounds, _READS),
    in_place(select_slopes, _READS),
    in_place(spell_out_layer_norms, _READS),
    in_place(normalize_rows, _READS),
    in_place(fold_constants, _READS),
    in_place(fold_affine),
    in_place(plain_convolutions),
    in_place(full_rank_constants, _READS),
    in_place(refuse_misread, _REFUSES),
)
"""In the order they run; some run twice."""


def simplify(graph: OnnxGraph, without: Collection[str] = (), observe: Observer[OnnxGraph] | None = None) -> None:
    """Apply every pass in order, in place, but for those of `without` that can be switched off."""
    run_passes(PASSES, graph, without, observe)
