"""ONNX models with ranges of sizes, compiled once and compared with ONNX Runtime at many sizes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from flextune.apply.build import compile_model
from flextune.apply.model_check import onnxruntime_session
from flextune.errors import ModelError, UsageError
from flextune.importing.model import load_model
from flextune.optimization.hybrid import Lowering
from flextune.target.target import Target
from flextune.workload.dim import parse_dims
from tests.unit.apply.sized_cases import Case, compare_at_sizes, compiled, real, whole

pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")

node = helper.make_node
DATA = Path(__file__).parents[2] / "data" / "dynamic"
IMAGES, IMAGE_DIMS = {"x": ("b", 8, "h", "w")}, ("b=0..3", "h=4..12", "w=4..20")
ROWS, ROW_DIMS = {"x": ("b", "s", 16)}, ("b=1..3", "s=1..20")


CASES = {
    "a recogniser": Case(
        [
            node("Conv", ["x", "k"], ["c"], pads=[1] * 4),
            node("Relu", ["c"], ["a"]),
            node("MaxPool", ["a"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
            node("Transpose", ["p"], ["t"], perm=[0, 3, 1, 2]),
            node("Shape", ["t"], ["s"]),
            node("Slice", ["s", "i0", "i2"], ["head"]),
            node("Concat", ["head", "rest"], ["q"], axis=0),
            node("Reshape", ["t", "q"], ["f"]),
            node("MatMul", ["f", "W"], ["g"]),
            node("Softmax", ["g"], ["y"], axis=-1),
        ],
        {"x": ("batch", 3, 16, "width")},
        ("batch=1..3", "width=4..40"),
        {"k": real(8, 3, 3, 3), "W": real(64, 10), "i0": whole(0), "i2": whole(2), "rest": whole(-1)},
    ),
    "a residual block and a classifier": Case(
        [
            node("Conv", ["x", "k"], ["c"], pads=[1] * 4),
            node("BatchNormalization", ["c", "v8", "v8", "v8", "p8"], ["n"]),
            node("Relu", ["n"], ["d"]),
            node("Add", ["d", "x"], ["e"]),
            node("Conv", ["e", "depth"], ["g"], pads=[1] * 4, group=8, strides=[2, 2]),
            node("GlobalAveragePool", ["g"], ["f"]),
            node("Mul", ["g", "f"], ["scaled"]),
            node("GlobalMaxPool", ["scaled"], ["m"]),
            node("Flatten", ["m"], ["flat"]),
            node("Gemm", ["flat", "W", "bias"], ["y"]),
        ],
        IMAGES,
        ("b=1..3", "h=4..12", "w=4..20"),
        {"k": real(8, 8, 3, 3), "depth": real(8, 1, 3, 3), "v8": real(8), "p8": real(8) ** 2 + 1, "W": real(8, 5),
         "bias": real(5)},
    ),
    "windows and pads": Case(
        [
            node("MaxPool", ["x"], ["a"], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
            node("AveragePool", ["x"], ["d"], kernel_shape=[2, 2], pads=[1, 1, 1, 1], count_include_pad=1),
            node("Pad", ["x", "pads"], ["f"]),
            node("ConvTranspose", ["x", "k"], ["g"], strides=[2, 2]),
        ],
        IMAGES,
        IMAGE_DIMS,
        {"pads": whole(0, 0, 1, 2, 0, 0, 3, 0), "k": real(8, 4, 2, 2)},
        ("a", "d", "f", "g"),
    ),
    "windows at borders of their own": Case(
        [
            node("AveragePool", ["x"], ["c"], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 0, 0, 1]),
            node("MaxPool", ["x"], ["e"], kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1),
        ],
        IMAGES,
        IMAGE_DIMS,
        outputs=("c", "e"),
    ),
    "slices of axes of any size": Case(
        [
            node("Slice", ["x", "one", "nine", "three"], ["a"]),
            node("Slice", ["x", "minus", "end", "three"], ["c"]),
            node("Slice", ["x", "one", "end", "three", "two"], ["d"]),
            node("Slice", ["x", "last", "begin", "two", "last"], ["e"]),
            node("Split", ["x"], ["f", "g"], axis=1),
            node("Concat", ["f", "g", "x"], ["h1"], axis=1),
            node("Concat", ["x", "x"], ["h2"], axis=3),
            node("DepthToSpace", ["x"], ["i"], blocksize=2),
        ],
        IMAGES,
        IMAGE_DIMS,
        {"one": whole(1), "nine": whole(9), "two": whole(2), "three": whole(3), "minus": whole(-3), "last": whole(-1),
         "end": whole(2**62), "begin": whole(-(2**62))},
        ("a", "c", "d", "e", "g", "h1", "h2", "i"),
    ),
    "reductions": Case(
        [
            node("ReduceMean", ["x"], ["a"], axes=[2, 3], keepdims=0),
            node("ReduceMax", ["x"], ["c"], axes=[-1]),
            node("ReduceSum", ["x", "axes"], ["d"]),
            node("ArgMax", ["x"], ["e"], axis=3),
            node("Softmax", ["x"], ["f"], axis=2),
            node("LogSoftmax", ["x"], ["g"], axis=3),
            node("InstanceNormalization", ["x", "v", "v"], ["h1"]),
        ],
        IMAGES,
        ("b=1..3", "h=4..12", "w=4..20"),
        {"axes": whole(0, 2), "v": real(8)},
        ("a", "c", "d", "e", "f", "g", "h1"),
    ),
    "attention over masked tokens": Case(
        [
            node("Gather", ["words", "ids"], ["w"]),
            node("Gather", ["kinds", "ids_kind"], ["k"]),
            node("Add", ["w", "k"], ["sum"]),
            node("LayerNormalization", ["sum", "v", "v"], ["x"], axis=-1),
            node("Cast", ["ids_kind"], ["mask"], to=TensorProto.FLOAT),
            node("Unsqueeze", ["mask", "axes"], ["wide"]),
            node("Sub", ["unit", "wide"], ["inverse"]),
            node("Mul", ["inverse", "low"], ["shift"]),
            node("MatMul", ["x", "W"], ["q"]),
            node("Reshape", ["q", "heads"], ["r"]),
            node("Transpose", ["r"], ["t"], perm=[0, 2, 1, 3]),
            node("Transpose", ["r"], ["u"], perm=[0, 2, 3, 1]),
            node("MatMul", ["t", "u"], ["scores"]),
            node("Add", ["scores", "shift"], ["masked"]),
            node("Softmax", ["masked"], ["p"], axis=-1),
            node("MatMul", ["p", "t"], ["o"]),
            node("Transpose", ["o"], ["back"], perm=[0, 2, 1, 3]),
            node("Reshape", ["back", "rows"], ["z"]),
            node("Add", ["z", "x"], ["y"]),
        ],
        {"ids": ("b", "s"), "ids_kind": ("b", "s")},
        ("b=1..3", "s=1..20"),
        {"words": real(10, 16), "kinds": real(2, 16), "v": real(16), "axes": whole(1, 2), "unit": np.float32(1),
         "low": np.float32(-1e4), "W": real(16, 16), "heads": whole(0, 0, 4, 4), "rows": whole(0, 0, 16)},
    ),
    "rows, and what is stretched over them": Case(
        [
            node("Reshape", ["x", "flat"], ["r"]),
            node("MatMul", ["r", "W"], ["a"]),
            node("Add", ["x", "z"], ["c"]),
            node("Shape", ["x"], ["shape"]),
            node("Expand", ["v", "shape"], ["d"]),
            node("Greater", ["x", "d"], ["is"]),
            node("Where", ["is", "x", "z"], ["e"]),
            node("Tile", ["x", "times"], ["f"]),
            node("Einsum", ["x", "c"], ["g"], equation="bsd,btd->bst"),
        ],
        {**ROWS, "z": ("b", 1, 16)},
        ROW_DIMS,
        {"flat": whole(-1, 16), "W": real(16, 8), "v": real(16), "times": whole(1, 2, 1)},
        ("a", "c", "e", "f", "g"),
    ),
    "products of two inputs, sizes of 0": Case(
        [node("MatMul", ["x", "z"], ["a"]), node("MatMul", ["z", "x"], ["y"])],
        {"x": ("n", "m"), "z": ("m", "n")},
        ("n=0..9", "m=0..17"),
        outputs=("a", "y"),
    ),
}  # fmt: skip


SLOW = ("windows at borders of their own",)
"""Whose kernels take 10 seconds to compile."""


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in CASES])
def test_one_library_equals_onnx_runtime(name: str, target: Target) -> None:
    executable = compiled(CASES[name], target)
    assert executable.notes == ()
    compare_at_sizes(CASES[name], executable, 12)


EXPORTED = (
    ("encoder_dynamo", ("batch=1..4", "seq=1..32")),
    ("network_script", ("batch=1..3", "h=32..64", "w=32..64")),
)


@pytest.mark.parametrize(("name", "dims"), EXPORTED)
def test_models_as_pytorch_exports_them(name: str, dims: Sequence[str], target: Target) -> None:
    """They compute their shapes; the encoder has learned positions, a mask, and a first token that is read alone."""
    path, ranges, rng = DATA / f"{name}.onnx", parse_dims(dims), np.random.default_rng(2)
    executable = compile_model(Lowering(target)(load_model(path, dims=ranges)), {}, target).executable
    assert executable.notes == ()
    session = onnxruntime_session(str(path), 1)
    for run in range(8):
        sizes = {
            dim.name: (dim.lo, dim.hi)[run] if run < 2 else int(rng.integers(dim.lo, dim.hi + 1)) for dim in ranges
        }
        inputs = executable.random_inputs(run, sizes)
        got = executable.run(inputs)
        for output, wanted in zip(got, session.run(list(got), inputs), strict=True):
            np.testing.assert_allclose(got[output], wanted, rtol=1e-3, atol=1e-5, err_msg=str(sizes), strict=True)


MUST_AGREE = {
    "sizes that could be stretched to each other": (
        Case([node("Add", ["x", "z"], ["y"])], {"x": ("n", 4), "z": ("m", 4)}, ("n=1..9", "m=2..12")),
        {"n": 5, "m": 5},
        {"n": 5, "m": 7},
        "7 is given for n, which is 5",
    ),
    "a product over sizes of two names": (
        Case([node("MatMul", ["x", "z"], ["y"])], {"x": ("n", "m"), "z": ("k", "n")}, ("n=1..9", "m=1..9", "k=1..9")),
        {"n": 2, "m": 3, "k": 3},
        {"n": 2, "m": 3, "k": 4},
        "4 is given for m, which is 3",
    ),
    "the two halves of a size that is even": (
        Case([node("MaxPool", ["x"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
              node("ConvTranspose", ["p", "k"], ["u"], strides=[2, 2]),
              node("Concat", ["u", "x"], ["y"], axis=1)],
             {"x": ("b", 4, "h", 6)}, ("b=1..2", "h=2..20"), {"k": real(4, 4, 2, 2)}),
        {"b": 1, "h": 12},
        {"b": 1, "h": 11},
        "b=1, h=11: two sizes that must be the same are 1. and 1.",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MUST_AGREE)
def test_sizes_that_must_be_the_same_are_checked_in_each_run(name: str, target: Target) -> None:
    case, right, wrong, message = MUST_AGREE[name]
    executable, rng = compiled(case, target), np.random.default_rng(0)
    inputs = case.arrays(right, rng)
    (want,) = onnxruntime_session(case.proto().SerializeToString(), 1).run(["y"], inputs)
    np.testing.assert_allclose(executable.run(inputs)["y"], want, rtol=1e-4, atol=1e-5)
    with pytest.raises(UsageError, match=message):
        executable.run(case.arrays(wrong, rng))


def test_names_of_one_size_without_a_common_one_are_refused(target: Target) -> None:
    case = Case([node("Add", ["x", "z"], ["y"])], {"x": ("n", 4), "z": ("m", 4)}, ("n=2..4", "m=8..9"))
    with pytest.raises(ModelError, match="must be the same size"):
        compiled(case, target)


SUM = helper.make_graph(
    [node("Add", ["total", "row"], ["sum"])],
    "sum",
    [helper.make_tensor_value_info(name, TensorProto.FLOAT, [5]) for name in ("total", "row")],
    [helper.make_tensor_value_info("sum", TensorProto.FLOAT, [5])],
)

REFUSED = {
    "an operator that is not known to be right": (
        Case([node("Hardmax", ["x"], ["y"])], {"x": ("n", 4)}, ("n=1..5",)),
        "Hardmax y",
    ),
    "a place that a small size does not have": (
        Case([node("Gather", ["x", "place"], ["y"])], {"x": ("n", 4)}, ("n=2..9",), {"place": whole(2)}),
        "which may have fewer",
    ),
    "a loop over a size": (
        Case(
            [node("Scan", ["start", "x"], ["y"], num_scan_inputs=1, body=SUM)],
            {"x": ("s", 5)},
            ("s=1..9",),
            {"start": real(5)},
        ),
        "Scan 'y' reads",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_right_at_all_sizes_is_refused(name: str, target: Target) -> None:
    case, message = REFUSED[name]
    with pytest.raises(ModelError, match=message):
        compiled(case, target)
