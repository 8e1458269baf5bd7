"""Operators whose parameters depend on sizes, in one library each, compared with ONNX Runtime at many sizes."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from flextune.target.target import Target
from tests.unit.apply.sized_cases import Case, compare_at_sizes, compiled, real, whole

pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")

node = helper.make_node
IMAGES, IMAGE_DIMS = {"x": ("b", 4, "h", "w")}, ("b=1..3", "h=2..9", "w=3..17")
ROWS, ROW_DIMS = {"x": ("b", "s", 8)}, ("b=0..3", "s=1..20")
SIZE = [node("Shape", ["x"], ["shape"]), node("Gather", ["shape", "one"], ["s"])]
NUMBERS = {"zero": np.array(0, np.int64), "one": np.array(1, np.int64), "two": np.array(2, np.int64), "v1": whole(1)}


def value(array: np.ndarray) -> dict[str, object]:
    return {"value": numpy_helper.from_array(array)}


CASES = {
    "positions, and masks that are made of them": Case(
        [
            *SIZE,
            node("Range", ["zero", "s", "one"], ["p"]),
            node("Range", ["s", "zero", "minus"], ["q"]),
            node("Gather", ["table", "p"], ["e"]),
            node("Add", ["x", "e"], ["a"]),
            node("Unsqueeze", ["p", "v0"], ["row"]),
            node("Unsqueeze", ["p", "v1"], ["column"]),
            node("LessOrEqual", ["row", "column"], ["causal"]),
            node("Cast", ["causal"], ["c"], to=TensorProto.FLOAT),
            node("MatMul", ["c", "x"], ["d"]),
            node("Cast", ["s"], ["length"], to=TensorProto.FLOAT),
            node("Sqrt", ["length"], ["root"]),
            node("Div", ["x", "root"], ["f"]),
        ],
        ROWS,
        ROW_DIMS,
        {**NUMBERS, "minus": np.array(-2, np.int64), "table": real(20, 8), "v0": whole(0)},
        ("a", "q", "d", "f"),
    ),
    "tensors of given shapes": Case(
        [
            *SIZE,
            node("Slice", ["shape", "v0", "v2"], ["rows"]),
            node("Shape", ["rows"], ["two"]),
            node("ConstantOfShape", ["two"], ["ones"], **value(np.array([1], np.int64))),
            node("Equal", ["ones", "minus"], ["is"]),
            node("Where", ["is", "rows", "rows"], ["target"]),
            node("Expand", ["flags", "shape"], ["a"]),
            node("ConstantOfShape", ["shape"], ["b1"], **value(np.array([2.5], np.float32))),
            node("Concat", ["rows", "heads"], ["split"], axis=0),
            node("Reshape", ["x", "split"], ["r"]),
            node("Transpose", ["r"], ["c"], perm=[0, 2, 1, 3]),
            node("Concat", ["v1", "rows"], ["times"], axis=0),
            node("Tile", ["row", "times"], ["d"]),
            node("EyeLike", ["square"], ["e"], k=1),
        ],
        {**ROWS, "square": ("s", "s")},
        ("b=1..3", "s=1..20"),
        {"one": np.array(1, np.int64), "v1": whole(1), "v0": whole(0), "v2": whole(2), "heads": whole(2, 4),
         "minus": whole(-1), "flags": np.array([[True]]), "row": real(1, 1, 3)},
        ("a", "b1", "c", "d", "e"),
    ),
    "parts between ends that are sizes": Case(
        [
            *SIZE,
            node("Div", ["s", "two"], ["half"]),
            node("Unsqueeze", ["half", "v0"], ["middle"]),
            node("Unsqueeze", ["s", "v0"], ["all"]),
            node("Slice", ["x", "v0", "middle", "v1"], ["a"]),
            node("Slice", ["x", "middle", "all", "v1"], ["c"]),
            node("Slice", ["table", "v0", "all", "v0"], ["d"]),
            node("Sub", ["s", "half"], ["rest"]),
            node("Unsqueeze", ["rest", "v0"], ["left"]),
            node("Concat", ["middle", "left"], ["lengths"], axis=0),
            node("Split", ["x", "lengths"], ["e", "f"], axis=1),
            node("Sub", ["s", "one"], ["last"]),
            node("Gather", ["x", "last"], ["g"], axis=1),
            node("Concat", ["nothing", "middle", "nothing", "nothing", "left", "nothing"], ["pads"], axis=0),
            node("Pad", ["x", "pads"], ["h"]),
            node("Slice", ["x", "last_row", "all", "v1", "backwards"], ["i"]),
        ],
        ROWS,
        ("b=1..3", "s=2..20"),
        {**NUMBERS, "v0": whole(0), "table": real(32, 8), "nothing": whole(0), "last_row": whole(-1),
         "backwards": whole(1)},
        ("a", "c", "d", "e", "f", "g", "h", "i"),
    ),
    "so many elements of an axis, which are broadcast": Case(
        [
            node("Slice", ["x", "v0", "v1", "v1"], ["first"]),
            node("Shape", ["x"], ["shape"]),
            node("Expand", ["first", "shape"], ["a"]),
            node("Sub", ["x", "first"], ["c"]),
            node("Slice", ["x", "last_row", "end", "v1"], ["last"]),
            node("Mul", ["last", "x"], ["d"]),
            node("Slice", ["x", "v1", "v3", "v1"], ["two"]),
            node("Add", ["two", "last"], ["e"]),
            node("Slice", ["x", "v1", "end", "v1"], ["f"]),
        ],
        ROWS,
        ("b=1..3", "s=3..20"),
        {"v0": whole(0), "v1": whole(1), "v3": whole(3), "last_row": whole(-1), "end": whole(2**62)},
        ("a", "c", "d", "e", "f"),
    ),
    "images resized by scales": Case(
        [
            node("Resize", ["x", "", "s2"], ["a"], mode="nearest", coordinate_transformation_mode="asymmetric",
                 nearest_mode="floor"),
            node("Resize", ["x", "", "s2"], ["c"], mode="linear", coordinate_transformation_mode="half_pixel"),
            node("Resize", ["x", "", "s15"], ["d"], mode="nearest", coordinate_transformation_mode="half_pixel"),
            node("Resize", ["x", "", "s2"], ["e"], mode="cubic", coordinate_transformation_mode="align_corners"),
            node("Resize", ["x", "", "half"], ["f"], mode="linear",
                 coordinate_transformation_mode="pytorch_half_pixel"),
            node("Conv", ["a", "k"], ["g"], pads=[1] * 4),
        ],
        IMAGES,
        IMAGE_DIMS,
        {"s2": np.array([1, 1, 2, 2], np.float32), "s15": np.array([1, 1, 1.5, 3], np.float32),
         "half": np.array([1, 1, 0.5, 0.5], np.float32), "k": real(4, 4, 3, 3)},
        ("a", "c", "d", "e", "f", "g"),
    ),
    "images resized to the size of others, as pyramids of features do": Case(
        [
            node("MaxPool", ["x"], ["low"], kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1),
            node("Shape", ["x"], ["whole"]),
            node("Slice", ["whole", "v2", "v4"], ["image"]),
            node("Shape", ["low"], ["small"]),
            node("Slice", ["small", "v0", "v2"], ["head"]),
            node("Concat", ["head", "image"], ["sizes"], axis=0),
            node("Resize", ["low", "", "", "sizes"], ["up"], mode="nearest",
                 coordinate_transformation_mode="asymmetric", nearest_mode="floor"),
            node("Add", ["up", "x"], ["a"]),
            node("Resize", ["low", "", "", "sizes"], ["c"], mode="linear",
                 coordinate_transformation_mode="half_pixel"),
            node("Concat", ["c", "x"], ["d"], axis=1),
        ],
        IMAGES,
        IMAGE_DIMS,
        {"v0": whole(0), "v2": whole(2), "v4": whole(4)},
        ("a", "d"),
    ),
    "margins by which windows reach over the end": Case(
        [
            node("Conv", ["x", "k"], ["a"], auto_pad="SAME_UPPER", strides=[2, 2]),
            node("Conv", ["x", "k"], ["c"], auto_pad="SAME_LOWER"),
            node("MaxPool", ["x"], ["d"], auto_pad="SAME_UPPER", kernel_shape=[3, 3], strides=[2, 2]),
            node("AveragePool", ["x"], ["e"], kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1, pads=[1] * 4),
            node("ConvTranspose", ["x", "k"], ["f"], strides=[2, 2], pads=[1] * 4, output_padding=[1, 1]),
        ],
        IMAGES,
        IMAGE_DIMS,
        {"k": real(4, 4, 3, 3)},
        ("a", "c", "d", "e", "f"),
    ),
    "margins of whole numbers": Case(
        [
            node("Shape", ["ids"], ["shape"]),
            node("Concat", ["nothing", "shape"], ["pads"], axis=0),
            node("Pad", ["ids", "pads", "many"], ["a"]),
            node("Cast", ["x"], ["bytes"], to=TensorProto.INT8),
            node("MaxPool", ["bytes"], ["c"], auto_pad="SAME_UPPER", kernel_shape=[3, 3], strides=[2, 2]),
        ],
        {**IMAGES, "ids": ("w",)},
        IMAGE_DIMS,
        {"nothing": whole(0), "many": np.array(2**53 + 1, np.int64)},
        ("a", "c"),
    ),
    "a triangle, and classes that are as many as a size": Case(
        [
            *SIZE,
            node("MatMul", ["x", "W"], ["y1"]),
            node("Transpose", ["x"], ["t"], perm=[0, 2, 1]),
            node("MatMul", ["x", "t"], ["scores"]),
            node("Trilu", ["scores", "one"], ["a"], upper=1),
            node("Trilu", ["scores"], ["c"], upper=0),
            node("OneHot", ["ids", "s", "off_on"], ["d"], axis=1),
        ],
        {**ROWS, "ids": ("b",)},
        ("b=1..3", "s=1..20"),
        {**NUMBERS, "W": real(8, 8), "off_on": np.array([0, 1], np.float32)},
        ("a", "c", "d", "y1"),
    ),
    "places in tensors, sums up to each, and few of the largest": Case(
        [
            node("Gather", ["x", "three"], ["a"], axis=1),
            node("Gather", ["x", "three"], ["c"], axis=2),
            node("GatherElements", ["x", "eight"], ["d"], axis=1),
            node("GatherND", ["x", "pairs"], ["e"]),
            node("CumSum", ["x", "first"], ["f"]),
            node("CumSum", ["ids", "first"], ["g"], exclusive=1, reverse=1),
            node("TopK", ["x", "count"], ["h", "i"], axis=-1),
            node("TopK", ["x", "count"], ["j", "k"], axis=2, largest=0),
        ],
        {**ROWS, "ids": ("b", "s")},
        ("b=2..3", "s=5..20"),
        {"three": whole(1, -2, 0), "eight": whole(*range(-4, 4)).reshape(1, 4, 2),
         "pairs": whole(0, 1, 1, -1).reshape(2, 2), "first": np.array(1), "count": whole(3)},
        tuple("acdefghijk"),
        opset=18,
    ),
    "normalised over sizes, and what takes others' types": Case(
        [
            node("LayerNormalization", ["x", "row", "row"], ["a", "c", "d"], axis=-1),
            node("LayerNormalization", ["x", "one"], ["e"], axis=1),
            node("RMSNormalization", ["x", "row"], ["f"]),
            node("Cast", ["x"], ["n"], to=TensorProto.INT32),
            node("BitwiseXor", ["n", "n"], ["g"]),
            node("CastLike", ["n", "x"], ["h"]),
            node("Mean", ["x", "row"], ["i"]),
            node("Shrink", ["x"], ["j"], lambd=0.3, bias=0.1),
        ],
        ROWS,
        ("b=1..3", "s=1..20"),
        {"row": real(8), "one": real(1)},
        tuple("acdefghij"),
        opset=23,
    ),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_parameters_that_depend_on_sizes(name: str, target: Target) -> None:
    executable = compiled(CASES[name], target)
    assert executable.notes == ()
    compare_at_sizes(CASES[name], executable, 8)
