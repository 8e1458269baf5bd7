"""Operators whose results are as large as data decide: a size of its own each, with what it cannot exceed."""

from __future__ import annotations

import onnx

from flextune.importing.shapes.arithmetic import Arithmetic
from flextune.importing.shapes.call import Call, positive_axis
from flextune.importing.shapes.registry import shape_rule
from flextune.importing.shapes.tracked import Tracked, count
from flextune.workload.dim_expr import DimExpr

_INT64 = onnx.TensorProto.INT64


@shape_rule("NonZero")
def non_zero(call: Call) -> Tracked:
    source = call.shape(0)
    known = call.input(0).elements
    found = call.fresh(count(source), "elements that are not 0") if known is None else _count_of(call)
    return Tracked(_INT64, (DimExpr.of(max(len(source), 1)), found))


def _count_of(call: Call) -> DimExpr:
    arithmetic = Arithmetic(call.input(0).dtype, call.scope.dims)
    elements = call.elements(0).reshape(-1)
    truths = [None if each is None else arithmetic.cast(each, onnx.TensorProto.BOOL) for each in elements]
    if None in truths:
        return call.fresh(DimExpr.of(len(elements)), "elements that are not 0")
    return sum((each.numerator for each in truths if each is not None), DimExpr.of(0))


@shape_rule("Compress")
def compress(call: Call) -> Tracked:
    source, conditions = list(call.shape(0)), call.shape(1)[0]
    if not call.has("axis"):
        return call.like(0, (call.fresh(call.smallest(count(source), conditions), "elements that are kept"),))
    axis = positive_axis(call.attribute("axis", 0), len(source))
    source[axis] = call.fresh(call.smallest(source[axis], conditions), "slices that are kept")
    return call.like(0, source)


@shape_rule("Unique")
def unique(call: Call) -> list[Tracked]:
    """Values, positions of their first occurrence, positions of each element in them, and how often each occurs."""
    source = list(call.shape(0))
    if not call.has("axis"):
        found, along, values = call.fresh(count(source), "distinct elements"), count(source), []
        values = [found]
    else:
        axis = positive_axis(call.attribute("axis", 0), len(source))
        along, found = source[axis], call.fresh(source[axis], "distinct slices")
        values = [*source[:axis], found, *source[axis + 1 :]]
    return [call.like(0, values), Tracked(_INT64, (found,)), Tracked(_INT64, (along,)), Tracked(_INT64, (found,))]


@shape_rule("NonMaxSuppression")
def non_max_suppression(call: Call) -> Tracked:
    """At most as many boxes as are asked for of every class in every image."""
    batch, boxes, _ = call.shape(0)
    classes = call.shape(1)[1]
    asked = call.input(2).elements if call.given(2) else None
    element = None if asked is None else asked.reshape(-1)[0]
    limit = None if element is None else element.size
    if not call.given(2):
        limit = DimExpr.of(0)
    each = boxes if limit is None else call.smallest(limit, boxes)
    found = call.fresh(batch * classes * each, "boxes that are selected") if each.value != 0 else each
    return Tracked(_INT64, (found, DimExpr.of(3)))


@shape_rule("TopK")
def top_k(call: Call) -> list[Tracked]:
    source = list(call.shape(0))
    axis = positive_axis(call.attribute("axis", -1), len(source))
    if not call.given(1):
        source[axis] = DimExpr.of(call.attribute("k", 0))
    else:
        source[axis] = call.size_or_fresh(1, "the k", source[axis])
    return [call.like(0, source), Tracked(_INT64, tuple(source))]


@shape_rule("ImageDecoder")
def image_decoder(call: Call) -> Tracked:
    sizes = [call.fresh(None, f"the {name} of an image") for name in ("height", "width")]
    channels = 1 if call.attribute("pixel_format", "RGB") == "Grayscale" else 3
    return Tracked(onnx.TensorProto.UINT8, (*sizes, DimExpr.of(channels)))


@shape_rule("StringNormalizer")
def string_normalizer(call: Call) -> Tracked:
    """Without stop words; one empty text where none is left."""
    *batch, size = call.shape(0)
    return call.like(0, (*batch, call.fresh(call.largest(size, DimExpr.of(1)), "words that are kept", least=1)))


@shape_rule("StringSplit")
def string_split(call: Call) -> list[Tracked]:
    source = call.shape(0)
    most = call.fresh(None, "parts of a text")
    return [call.like(0, (*source, most)), Tracked(_INT64, source)]
