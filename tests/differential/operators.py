"""Operators with random attributes, axes and operands: `GENERATORS` has one function for each."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tests.differential.draw import Draw

Generator = Callable[[Draw], None]

REDUCTIONS = ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare")


def _reduce(operator: str) -> Generator:
    def draw(case: Draw) -> None:
        form = case.below(4)
        keep = case.below(2)
        if form == 0:
            case.apply(operator, keepdims=keep, noop_with_empty_axes=case.below(2))
        elif form == 1:
            case.apply(operator, case.constant([]), keepdims=keep, noop_with_empty_axes=case.below(2))
        else:
            case.apply(operator, case.constant(case.axes()), keepdims=keep)

    return draw


def _along_axis(operator: str) -> Generator:
    return lambda case: case.apply(operator, axis=case.axis())


def _unary(operator: str, **attributes: object) -> Generator:
    return lambda case: case.apply(operator, **attributes)


def _binary(operator: str) -> Generator:
    def draw(case: Draw) -> None:
        other = case.operand(case.normal(*case.broadcast()))
        case.node(operator, *((case.source, other) if case.chance() else (other, case.source)))

    return draw


def _layer_norm(case: Draw) -> None:
    axis = case.axis()
    normalized = case.shape[axis % case.rank :]
    operands = [case.operand(case.normal(*normalized))] + ([case.operand(case.normal(*normalized))] * case.below(2))
    case.apply("LayerNormalization", *operands, axis=axis)


def _lp_norm(case: Draw) -> None:
    case.apply("LpNormalization", axis=case.axis(), p=1 + case.below(2))


def _arg(operator: str) -> Generator:
    return lambda case: case.apply(operator, axis=case.axis(), keepdims=case.below(2), select_last_index=case.below(2))


def _transpose(case: Draw) -> None:
    case.apply("Transpose", perm=[int(axis) for axis in case.rng.permutation(case.rank)])


def _reshape(case: Draw) -> None:
    sizes = list(case.shape)
    place = case.below(case.rank - 1)
    merged = [*sizes[:place], sizes[place] * sizes[place + 1], *sizes[place + 2 :]]
    case.apply("Reshape", case.constant(merged))


def _unsqueeze(case: Draw) -> None:
    case.apply("Unsqueeze", case.constant([case.below(case.rank + 1)]))


def _flatten(case: Draw) -> None:
    case.apply("Flatten", axis=case.below(2 * case.rank + 1) - case.rank)


def _slice(case: Draw) -> None:
    axes = case.axes()
    starts, ends, steps = [], [], []
    for axis in axes:
        size = case.shape[axis]
        step = int(case.one_of(1, 2, -1, -2))  # type: ignore[call-overload]
        low, high = sorted(int(place) for place in case.rng.choice(size + 1, 2, replace=False))
        starts.append(low if step > 0 else high - 1)
        ends.append(high if step > 0 else low - 1 - (size if low == 0 else 0))
        steps.append(step)
    case.apply("Slice", *(case.constant(each) for each in (starts, ends, axes, steps)))


def _split(case: Draw) -> None:
    axis = case.axis()
    size = case.shape[axis]
    first = 1 + case.below(size - 1) if size > 1 else 0
    case.apply("Split", case.constant([first, size - first] if first else [size]), outputs=2 if first else 1, axis=axis)


def _concat(case: Draw) -> None:
    axis = case.axis()
    shape = list(case.shape)
    shape[axis] = 1 + case.below(4)
    names = [case.source, case.operand(case.normal(*shape)), case.source][: 2 + case.below(2)]
    case.node("Concat", *(names if case.chance() else names[::-1]), axis=axis)


def _gather(case: Draw) -> None:
    axis = case.axis()
    size = case.shape[axis]
    shape = case.one_of((), (3,), (1,), (2, 2))
    kind = case.one_of(np.int64, np.int32)
    case.apply("Gather", case.operand(np.asarray(case.rng.integers(-size, size, shape), kind)), axis=axis)  # type: ignore[call-overload]


def _gather_elements(case: Draw) -> None:
    axis = case.axis()
    kind = case.one_of(np.int64, np.int32)
    size = case.shape[axis]
    indices = case.rng.integers(-size, size, case.shape).astype(kind)  # type: ignore[call-overload]
    case.apply("GatherElements", case.operand(indices), axis=axis)


def _scatter_elements(case: Draw) -> None:
    axis = case.axis()
    size = case.shape[axis]
    shape = list(case.shape)
    shape[axis] = 1
    indices = np.asarray(case.rng.integers(-size, size, shape))
    case.apply("ScatterElements", case.operand(indices), case.operand(case.normal(*shape)), axis=axis)


def _cumsum(case: Draw) -> None:
    case.apply("CumSum", case.constant(np.array(case.axis())), exclusive=case.below(2), reverse=case.below(2))


def _top_k(case: Draw) -> None:
    axis = case.axis()
    count = 1 + case.below(case.shape[axis])
    case.apply("TopK", case.constant([count]), outputs=2, axis=axis, largest=case.below(2))


def _pad(case: Draw) -> None:
    mode = str(case.one_of("constant", "reflect", "edge"))
    pads = [[0, 1][case.below(2)] if size > 1 else 0 for size in (*case.shape, *case.shape)]
    fill = [case.constant(case.normal())] if mode == "constant" and case.chance() else []
    case.apply("Pad", case.constant(pads), *fill, mode=mode)


def _expand(case: Draw) -> None:
    other = case.operand(case.normal(*case.broadcast()))
    case.node("Expand", other, case.constant(list(case.shape)))
    case.nodes[-1].output[0] = "expanded"
    case.node("Mul", "expanded", case.source)


def _tile(case: Draw) -> None:
    case.apply("Tile", case.constant([1 + case.below(2) for _ in case.shape]))


def _where(case: Draw) -> None:
    condition = case.operand(np.asarray(case.normal(*case.broadcast()) > 0))
    other = case.operand(case.normal(*case.broadcast()))
    case.node("Where", condition, *((case.source, other) if case.chance() else (other, case.source)))


def _matmul(case: Draw) -> None:
    *batch, rows, columns = case.shape
    batch = batch if case.chance() else []
    if case.chance():
        case.apply("MatMul", case.operand(case.normal(*batch, columns, 3)))
    else:
        case.node("MatMul", case.operand(case.normal(*batch, 3, rows)), case.source)


def _prelu(case: Draw) -> None:
    case.apply("PRelu", case.operand(case.normal(*case.broadcast())))


def _clip(case: Draw) -> None:
    names = [case.constant(each.reshape(())) for each in np.sort(case.normal(2))]
    case.apply("Clip", *(name if case.below(4) else "" for name in names))


def _instance_norm(case: Draw) -> None:
    channels = case.shape[1]
    case.apply("InstanceNormalization", case.constant(case.normal(channels)), case.constant(case.normal(channels)))


def _batch_norm(case: Draw) -> None:
    channels = case.shape[1]
    operands = [case.normal(channels) for _ in range(3)] + [
        case.rng.random(channels).astype(case.dtype) + case.dtype.type(0.5)
    ]
    case.apply("BatchNormalization", *(case.constant(each) for each in operands))


def _mean_variance(case: Draw) -> None:
    case.apply("MeanVarianceNormalization", axes=sorted(axis % case.rank for axis in case.axes()))


def _pool(operator: str) -> Generator:
    def draw(case: Draw) -> None:
        sizes = case.shape[2:]
        kernel = [1 + case.below(min(3, size)) for size in sizes]
        pads = [case.below(min(2, width)) for width in (*kernel, *kernel)]
        attributes: dict[str, object] = {"ceil_mode": case.below(2)}
        if operator == "AveragePool":
            attributes["count_include_pad"] = case.below(2)
        case.apply(operator, kernel_shape=kernel, pads=pads, strides=[1 + case.below(2) for _ in sizes], **attributes)

    return draw


def _resize(case: Draw) -> None:
    mode = str(case.one_of("nearest", "linear", "linear", "cubic"))
    coordinates = str(
        case.one_of("half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel", "half_pixel_symmetric")
    )
    rounding = str(case.one_of("round_prefer_floor", "round_prefer_ceil", "floor", "ceil"))
    first = case.rank - 2 if mode == "cubic" else int(case.one_of(0, 1, 2, 2))  # type: ignore[call-overload]
    attributes = {"mode": mode, "coordinate_transformation_mode": coordinates, "nearest_mode": rounding}
    moved = [axis >= first and case.below(4) > 0 for axis in range(case.rank)]
    if case.chance():
        scales = [float(case.one_of(2, 0.5, 1.7, 2.5, 0.6, 3)) if each else 1.0 for each in moved]  # type: ignore[arg-type]
        scales = [max(scale, 1.0 / size) for scale, size in zip(scales, case.shape, strict=True)]
        case.apply("Resize", "", case.constant(np.array(scales, np.float32)), **attributes)
    else:
        sizes = [1 + case.below(9) if each else size for each, size in zip(moved, case.shape, strict=True)]
        case.apply("Resize", "", "", case.constant(sizes), **attributes)


def _roi_align(case: Draw) -> None:
    batch, _, height, width = case.shape
    corners = case.rng.uniform(0, 2 * max(height, width), (3, 2, 2))
    boxes = np.sort(corners, 1).reshape(3, 4).astype(np.float32)
    case.apply(
        "RoiAlign",
        case.operand(boxes),
        case.operand(case.rng.integers(0, batch, 3)),
        output_height=1 + case.below(3),
        output_width=1 + case.below(3),
        sampling_ratio=case.below(3),
        spatial_scale=float(case.one_of(0.25, 0.5, 1.0)),  # type: ignore[arg-type]
        coordinate_transformation_mode=str(case.one_of("half_pixel", "output_half_pixel")),
    )


def _lrn(case: Draw) -> None:
    case.apply("LRN", size=1 + 2 * case.below(2), alpha=0.5)


def _cast(case: Draw) -> None:
    case.apply("Cast", to=int(case.one_of(1, 6, 7, 9, 10, 11)))  # type: ignore[call-overload]


def _depth_to_space(case: Draw) -> None:
    case.apply("DepthToSpace", blocksize=2, mode=str(case.one_of("DCR", "CRD")))


def _one_hot(case: Draw) -> None:
    case.apply("Greater", case.constant(np.zeros((), case.dtype)))
    case.nodes[-1].output[0] = "positive"
    case.node("Cast", "positive", to=7)
    case.nodes[-1].output[0] = "index"
    values = case.constant(case.normal(2))
    case.node("OneHot", "index", case.constant([3]), values, axis=case.below(case.rank + 1))


def _trilu(case: Draw) -> None:
    offset = [case.constant(np.array(case.below(5) - 2))] if case.chance() else []
    case.apply("Trilu", *offset, upper=case.below(2))


def _einsum(case: Draw) -> None:
    letters = "abcdef"[: case.rank]
    kept = "".join(np.array(list(letters))[case.rng.permutation(case.rank)][: 1 + case.below(case.rank)])
    case.node("Einsum", case.source, equation=f"{letters}->{kept}")


def _compare(operator: str) -> Generator:
    return _binary(operator)


def _variadic(operator: str) -> Generator:
    def draw(case: Draw) -> None:
        others = [case.operand(case.normal(*case.broadcast())) for _ in range(case.below(3))]
        case.apply(operator, *others)

    return draw


UNARY = """
Abs Asinh Atan Ceil Celu Cos Cosh Elu Erf Exp Floor Gelu GlobalAveragePool GlobalMaxPool HardSigmoid HardSwish Identity
IsInf IsNaN LeakyRelu Log Mish Neg Reciprocal Relu Round Selu Shrink Sigmoid Sign Sin Sinh Softplus Softsign Sqrt Tan
Tanh ThresholdedRelu
"""

GENERATORS: dict[str, Generator] = {
    **{f"Reduce{name}": _reduce(f"Reduce{name}") for name in REDUCTIONS},
    **{name: _along_axis(name) for name in ("Softmax", "LogSoftmax", "Hardmax")},
    **{name: _unary(name) for name in UNARY.split()},
    **{name: _binary(name) for name in ("Add", "Sub", "Mul", "Div", "Pow", "Greater", "LessOrEqual")},
    **{name: _variadic(name) for name in ("Max", "Min", "Sum", "Mean")},
    **{name: _arg(name) for name in ("ArgMax", "ArgMin")},
    **{name: _pool(name) for name in ("MaxPool", "AveragePool")},
    "BatchNormalization": _batch_norm,
    "Cast": _cast,
    "Clip": _clip,
    "Concat": _concat,
    "CumSum": _cumsum,
    "DepthToSpace": _depth_to_space,
    "Einsum": _einsum,
    "Expand": _expand,
    "Flatten": _flatten,
    "Gather": _gather,
    "GatherElements": _gather_elements,
    "InstanceNormalization": _instance_norm,
    "LRN": _lrn,
    "LayerNormalization": _layer_norm,
    "LpNormalization": _lp_norm,
    "MatMul": _matmul,
    "MeanVarianceNormalization": _mean_variance,
    "OneHot": _one_hot,
    "PRelu": _prelu,
    "Pad": _pad,
    "Reshape": _reshape,
    "Resize": _resize,
    "RoiAlign": _roi_align,
    "ScatterElements": _scatter_elements,
    "Slice": _slice,
    "Split": _split,
    "Tile": _tile,
    "TopK": _top_k,
    "Transpose": _transpose,
    "Trilu": _trilu,
    "Unsqueeze": _unsqueeze,
    "Where": _where,
}
