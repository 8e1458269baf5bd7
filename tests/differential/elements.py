"""Random operators on single elements, indices and sets: bits, scatters, quantisation, losses."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from onnx import helper

from tests.differential.draw import Draw

Generator = Callable[[Draw], None]


def _pair(operator: str, **attributes: object) -> Generator:
    """Two operands that are broadcast onto each other."""

    def draw(case: Draw) -> None:
        other = case.operand(case.normal(*case.broadcast()))
        case.node(operator, *((case.source, other) if case.chance() else (other, case.source)), **attributes)

    return draw


def _plain(operator: str) -> Generator:
    return lambda case: case.apply(operator)


def bit_shift(case: Draw) -> None:
    bits = 8 * case.dtype.itemsize
    places = case.operand(case.rng.integers(0, bits, case.shape).astype(case.dtype))
    case.apply("BitShift", places, direction=str(case.one_of("LEFT", "RIGHT")))


def mod(case: Draw) -> None:
    divisor = case.normal(*case.broadcast())
    divisor = np.where(divisor == 0, np.ones_like(divisor), divisor)
    case.apply("Mod", case.operand(divisor), fmod=1 if case.dtype.kind == "f" else case.below(2))


def integer_division(case: Draw) -> None:
    divisor = case.normal(*case.broadcast())
    case.apply("Div", case.operand(np.where(divisor == 0, np.ones_like(divisor), divisor)))


def is_inf(case: Draw) -> None:
    case.node("IsInf", special(case), detect_negative=case.below(2), detect_positive=case.below(2))


def special(case: Draw) -> str:
    """An input with NaN, infinities, zeros of both signs and large numbers."""
    known = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 300.0, -1e4, 1.5, 2.5, -0.5, -1.5], case.dtype)
    return case.input(case.rng.choice(known, (3, 4)))


def _special(operator: str, **attributes: object) -> Generator:
    return lambda case: case.node(operator, special(case), **attributes)


def special_pairs(case: Draw) -> None:
    operator = str(case.one_of("Max", "Min", "Add", "Mul", "Div", "Pow", "Less", "Equal", "GreaterOrEqual"))
    case.node(operator, special(case), special(case))


def special_reductions(case: Draw) -> None:
    operator = str(case.one_of("Max", "Min", "Sum", "Prod", "LogSumExp", "L1", "Mean"))
    case.node(f"Reduce{operator}", special(case), case.constant([case.below(2)]))


def special_casts(case: Draw) -> None:
    values = np.array([0.0, -0.0, 0.5, -0.5, 1.5, 2.5, 100.0, -100.0, 3.99, -3.99, 1e-8], case.dtype)
    kinds = (1, 2, 3, 5, 6, 7, 9, 10, 11, 12, 13, 16)
    given = np.abs(values) if (kind := int(case.one_of(*kinds))) in (2, 4, 12, 13) else values
    case.node("Cast", case.input(given), to=kind)


def casts(case: Draw) -> None:
    case.apply("Cast", to=int(case.one_of(1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 16)))


def cast_like(case: Draw) -> None:
    kind = np.dtype(case.one_of(np.float32, np.int64, np.int32, np.uint8, np.bool_, np.float16, np.float64))
    case.apply("CastLike", case.operand(np.zeros((2,), kind)))


def gather_nd(case: Draw) -> None:
    batch = case.below(case.rank)
    depth = 1 + case.below(case.rank - batch)
    lead = case.shape[:batch]
    sizes = case.shape[batch : batch + depth]
    places = np.stack([case.rng.integers(-size, size, (*lead, 3)) for size in sizes], -1)
    case.apply("GatherND", case.operand(places), batch_dims=batch)


def scatter_nd(case: Draw) -> None:
    depth = 1 + case.below(case.rank)
    reduction = str(case.one_of("none", "add", "mul", "max", "min"))
    all_places = np.stack(np.unravel_index(np.arange(int(np.prod(case.shape[:depth]))), case.shape[:depth]), -1)
    repeats = reduction != "none"
    count = min(5, len(all_places)) if not repeats else 5
    places = all_places[case.rng.choice(len(all_places), count, replace=repeats)]
    updates = case.operand(case.normal(count, *case.shape[depth:]))
    case.apply("ScatterND", case.operand(places.astype(np.int64)), updates, reduction=reduction)


def scatter_elements(case: Draw) -> None:
    axis = case.axis()
    size = case.shape[axis]
    reduction = str(case.one_of("none", "add", "mul", "max", "min"))
    shape = [1 + case.below(each) for each in case.shape]
    count = shape[axis] = min(shape[axis], size) if reduction == "none" else 4
    if reduction == "none":
        places = case.rng.permuted(
            np.broadcast_to(np.arange(size), (*[e for i, e in enumerate(shape) if i != axis % case.rank], size)),
            axis=-1,
        )
        places = np.moveaxis(places[..., :count], -1, axis % case.rank)
    else:
        places = case.rng.integers(-size, size, shape)
    kind = np.int32 if case.chance() else np.int64
    updates = case.operand(case.normal(*shape))
    case.apply("ScatterElements", case.operand(places.astype(kind)), updates, axis=axis, reduction=reduction)


def compress(case: Draw) -> None:
    more = {"axis": case.axis()} if case.chance() else {}
    size = case.shape[more["axis"]] if more else int(np.prod(case.shape))
    condition = np.asarray(case.rng.integers(0, 2, max(1, size - case.below(2))).astype(bool))
    case.apply("Compress", case.operand(condition), **more)


_NON_ZERO_TYPES = ("bool", "uint8", "int32", "int64", "float32")
_UNIQUE_TYPES = ("int8", "int64", "float32", "float64")
"""Of ONNX Runtime. ONNX's evaluator gives [0, n] for scalars, and sorts where `sorted` is 0."""


def non_zero(case: Draw) -> None:
    shape = case.shape if case.dtype in _NON_ZERO_TYPES else case.shape or (1,)
    case.node("NonZero", case.input(case.rng.integers(0, 2, shape).astype(case.dtype)))


def unique(case: Draw) -> None:
    more = {"axis": case.axis()} if case.chance() else {}
    if 0 in case.shape:
        more = {}  # ONNX Runtime ends the process
    values = case.input(case.rng.integers(0, 3, case.shape).astype(case.dtype))
    outputs, is_sorted = 1 + case.below(4), case.below(2)
    case.node("Unique", values, outputs=outputs, sorted=is_sorted if case.dtype in _UNIQUE_TYPES else 1, **more)


def non_max_suppression(case: Draw) -> None:
    batch, classes, boxes = 1 + case.below(2), 1 + case.below(2), 1 + case.below(8)
    corners = np.sort(case.rng.uniform(0, 4, (batch, boxes, 2, 2)), 2).reshape(batch, boxes, 4).astype(np.float32)
    scores = case.rng.random((batch, classes, boxes)).astype(np.float32)
    limits = [
        case.constant([case.below(4)]),
        case.constant(np.array([case.rng.uniform(0.1, 0.7)], np.float32)),
        case.constant(np.array([case.rng.uniform(0, 0.6)], np.float32)),
    ][: 1 + case.below(3)]
    names = [case.input(corners), case.input(scores), *limits]
    case.node("NonMaxSuppression", *names, center_point_box=case.below(2))


def det(case: Draw) -> None:
    size = 1 + case.below(5)
    case.node("Det", case.input(case.normal(*case.shape[: case.below(3)], size, size)))


def gemm(case: Draw) -> None:
    rows, inner = case.shape
    columns = 1 + case.below(5)
    by_rows, by_columns = case.below(2), case.below(2)
    inner, rows = (rows, inner) if by_rows else (inner, rows)
    other = case.normal(columns, inner) if by_columns else case.normal(inner, columns)
    shape = case.one_of((), (1,), (columns,), (rows, 1), (1, columns), (rows, columns))
    added = [case.operand(case.normal(*shape))] if case.chance() else []
    scales = {"alpha": float(case.one_of(0.5, 2.0)), "beta": float(case.one_of(0.5, 0.0, 2.0))} if case.chance() else {}
    case.apply("Gemm", case.operand(other), *added, transA=by_rows, transB=by_columns, **scales)


def einsum(case: Draw) -> None:
    form = case.below(5)
    if form == 0 and case.rank >= 2:
        other = case.operand(case.normal(case.shape[-1], 3))
        case.node("Einsum", case.source, other, equation="...ij,jk->...ik")
    elif form == 1:
        letters = "abcdef"[: case.rank]
        case.node(
            "Einsum",
            case.source,
            case.operand(case.normal(*case.shape)),
            equation=f"{letters},{letters}->{letters[:1]}",
        )
    elif form == 2 and case.rank:
        case.node("Einsum", case.source, equation=f"{'abcdef'[: case.rank]}->")
    elif form == 3:
        square = case.input(case.normal(3, 3))
        case.node("Einsum", square, equation=str(case.one_of("ii->i", "ii->", "ij->ji", "ij")))
    else:
        case.node("Einsum", case.input(case.normal(2, 3)), case.input(case.normal(4)), equation="ij,k->kji")


def squeeze(case: Draw) -> None:
    ones = [axis for axis, size in enumerate(case.shape) if size == 1]
    case.apply("Squeeze", *([case.constant(ones)] if ones and case.chance() else []))


def shape_of(case: Draw) -> None:
    case.apply("Shape", start=case.below(4) - 2, end=case.below(6) - 2)


def eye_like(case: Draw) -> None:
    case.apply(
        "EyeLike", k=case.below(5) - 2, **({"dtype": int(case.one_of(1, 6, 7, 11, 10))} if case.chance() else {})
    )


def quantize(case: Draw) -> None:
    axis = case.below(case.rank)
    kind = np.dtype(case.one_of(np.uint8, np.int8, np.uint16, np.int16))
    form = case.below(3)
    shape: tuple[int, ...] = () if form == 0 else (case.shape[axis],)
    more: dict[str, object] = {} if form == 0 else {"axis": axis}
    if form == 2:
        size = next(each for each in (3, 2, 1) if case.shape[axis] % each == 0)
        shape = tuple(each // size if place == axis else each for place, each in enumerate(case.shape))
        more["block_size"] = size
    scale = case.operand(np.asarray(case.rng.uniform(0.02, 0.2, shape), case.dtype))
    limits = np.iinfo(kind)
    zero = case.operand(np.asarray(case.rng.integers(limits.min // 3, limits.max // 2, shape), kind))
    case.apply("QuantizeLinear", scale, zero, **more)


def dequantize(case: Draw) -> None:
    quantize_shape = case.shape
    axis = case.below(case.rank)
    shape: tuple[int, ...] = (quantize_shape[axis],) if case.chance() else ()
    scale_type = np.dtype(case.one_of(np.float32, np.float16))
    scale = case.operand(np.asarray(case.rng.uniform(0.02, 0.2, shape), scale_type))
    zero = [] if case.dtype == np.int32 or case.chance() else [case.operand(case.normal(*shape))]
    case.apply("DequantizeLinear", scale, *zero, axis=axis)


def dynamic_quantize(case: Draw) -> None:
    case.apply("DynamicQuantizeLinear", outputs=3)


def matmul_integer(case: Draw) -> None:
    *_, inner = case.shape
    kind = np.dtype(case.one_of(np.uint8, np.int8))
    other = case.rng.integers(0, 100, (inner, 3)).astype(kind)
    zeros = [case.operand(case.normal()), case.operand(case.rng.integers(0, 9, case.one_of((), (3,))).astype(kind))]
    case.apply("MatMulInteger", case.operand(other), *zeros[: case.below(3)])


def losses(case: Draw) -> None:
    batch, classes, *rest = case.shape
    ignored = {"ignore_index": int(case.one_of(-1, 1))} if case.chance() else {}
    labels = case.operand(case.rng.integers(0, classes, (batch, *rest)).astype(np.int64))
    weight = [case.operand(np.abs(case.normal(classes)) + case.dtype.type(0.5))] if case.chance() else []
    reduction = str(case.one_of("none", "mean", "sum"))
    if case.chance():
        outputs = 1 + case.below(2)
        case.apply("SoftmaxCrossEntropyLoss", labels, *weight, outputs=outputs, reduction=reduction, **ignored)
    else:
        case.apply("NegativeLogLikelihoodLoss", labels, *weight, reduction=reduction, **ignored)


def reverse_sequence(case: Draw) -> None:
    time = case.below(2)
    lengths = case.operand(case.rng.integers(1, case.shape[time] + 1, case.shape[1 - time]))
    case.apply("ReverseSequence", lengths, time_axis=time, batch_axis=1 - time)


def ranges(case: Draw) -> None:
    start, step = case.normal(), np.asarray(case.one_of(1, 2, 3), case.dtype)
    limit = start + np.asarray(case.below(9), case.dtype)
    case.node("Range", *(case.constant(each.astype(case.dtype)) for each in (start, limit, step)))


def top_k_ties(case: Draw) -> None:
    values = case.input(case.rng.integers(0, 3, case.shape).astype(case.dtype))
    axis = case.axis()
    count = case.constant([1 + case.below(case.shape[axis])])
    case.node("TopK", values, count, outputs=2, axis=axis, largest=case.below(2))


def constant_of_shape(case: Draw) -> None:
    value = helper.make_tensor("value", helper.np_dtype_to_tensor_dtype(case.dtype), [1], case.normal(1).tolist())
    case.node("ConstantOfShape", case.constant(list(case.shape)), value=value)
    case.nodes[-1].output[0] = "filled"
    case.node("Identity", "filled")


def split_evenly(case: Draw) -> None:
    axis = case.axis()
    parts = 1 + case.below(min(3, max(case.shape[axis], 1)))
    case.apply("Split", outputs=parts, axis=axis, num_outputs=parts)


def reshape_signs(case: Draw) -> None:
    total = int(np.prod(case.shape))
    form = case.below(3)
    sizes = [-1] if form == 0 else [0, -1] if form == 1 else [1, total]
    case.apply("Reshape", case.constant(sizes))


def hardmax_ties(case: Draw) -> None:
    values = case.input(case.rng.integers(0, 3, case.shape).astype(case.dtype))
    operator = str(case.one_of("ArgMax", "ArgMin"))
    case.node(operator, values, axis=case.axis(), select_last_index=case.below(2), keepdims=case.below(2))


def dropout(case: Draw) -> None:
    case.apply("Dropout", outputs=1 + case.below(2))


def loop_or_branch(case: Draw) -> None:
    """Both sides of a condition that is an input."""
    value = helper.make_tensor_value_info("b", helper.np_dtype_to_tensor_dtype(case.dtype), None)
    sides = [
        helper.make_graph([helper.make_node(name, [case.source], ["b"])], name, [], [value]) for name in ("Neg", "Abs")
    ]
    case.node("If", case.input(np.array(case.chance())), then_branch=sides[0], else_branch=sides[1])


ELEMENTS: dict[str, Generator] = {
    **{
        name: _pair(name)
        for name in ("And", "Or", "Xor", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "Equal", "Less", "GreaterOrEqual")
    },
    **{
        f"{name}.special": _special(name)
        for name in (
            "Sign",
            "Round",
            "Floor",
            "Ceil",
            "Relu",
            "Sqrt",
            "Abs",
            "Exp",
            "Sigmoid",
            "Tanh",
            "Softplus",
            "Erf",
            "HardSigmoid",
            "Reciprocal",
            "Neg",
            "IsNaN",
            "Softmax",
            "LogSoftmax",
        )
    },
    **{name: _plain(name) for name in ("Not", "BitwiseNot", "Acos", "Asin", "Atanh", "Acosh", "Size")},
    "ArgMax.ties": hardmax_ties,
    "BitShift": bit_shift,
    "Cast.all": casts,
    "Cast.special": special_casts,
    "CastLike": cast_like,
    "Compress": compress,
    "ConstantOfShape": constant_of_shape,
    "DequantizeLinear": dequantize,
    "Det": det,
    "Div.whole": integer_division,
    "Dropout": dropout,
    "DynamicQuantizeLinear": dynamic_quantize,
    "Einsum.two": einsum,
    "EyeLike": eye_like,
    "GatherND": gather_nd,
    "Gemm": gemm,
    "If": loop_or_branch,
    "IsInf.signs": is_inf,
    "MatMulInteger": matmul_integer,
    "Max.special": special_pairs,
    "Mod": mod,
    "NonMaxSuppression": non_max_suppression,
    "NonZero": non_zero,
    "QuantizeLinear": quantize,
    "Range": ranges,
    "ReduceMax.special": special_reductions,
    "Reshape.signs": reshape_signs,
    "ReverseSequence": reverse_sequence,
    "ScatterElements.reductions": scatter_elements,
    "ScatterND": scatter_nd,
    "Shape": shape_of,
    "SoftmaxCrossEntropyLoss": losses,
    "Split.evenly": split_evenly,
    "Squeeze": squeeze,
    "TopK.ties": top_k_ties,
    "Unique": unique,
}
