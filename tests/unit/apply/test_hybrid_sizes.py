"""Models with ranges of sizes of which only parts are ours, compared with ONNX Runtime at many sizes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from flextune.apply.build import compile_model
from flextune.apply.executable import Executable, load_executable
from flextune.apply.hybrid_build import HybridOptions, build_split, split_model
from flextune.errors import UsageError
from flextune.importing.model import model_from_proto
from flextune.optimization.hybrid import Lowering
from flextune.target.target import Target
from flextune.workload.dim import parse_dims
from tests.unit.apply.sized_cases import Case, compare_at_sizes, real, whole

pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")

node = helper.make_node

CASES = {
    "an operator that is not ours between convolutions and a classifier": Case(
        [
            node("Conv", ["x", "k"], ["c"], pads=[1, 1, 1, 1], strides=[2, 2]),
            node("Relu", ["c"], ["r"]),
            node("ReduceMean", ["r"], ["m"], axes=[2], keepdims=0),
            node("Transpose", ["m"], ["t"], perm=[2, 0, 1]),
            node("Hardmax", ["t"], ["s"], axis=-1),
            node("Transpose", ["s"], ["u"], perm=[1, 0, 2]),
            node("Shape", ["u"], ["shape"]),
            node("Slice", ["shape", "v0", "v2"], ["head"]),
            node("Concat", ["head", "rest"], ["flat"], axis=0),
            node("Reshape", ["u", "flat"], ["f"]),
            node("MatMul", ["f", "V"], ["y"]),
        ],
        {"x": ("b", 3, 16, "w")},
        ("b=1..3", "w=8..40"),
        {"k": real(32, 3, 3, 3), "V": real(32, 9), "v0": whole(0), "v2": whole(2), "rest": whole(-1)},
    ),
    "rows that are chosen by values, and what is computed of them": Case(
        [
            node("MatMul", ["x", "W"], ["h"]),
            node("ReduceMax", ["h"], ["top"], axes=[1], keepdims=0),
            node("Greater", ["top", "limit"], ["is"]),
            node("Compress", ["h", "is"], ["chosen"], axis=0),
            node("MatMul", ["chosen", "V"], ["z"]),
            node("Softmax", ["z"], ["y"], axis=-1),
        ],
        {"x": ("n", 16)},
        ("n=1..40",),
        {"W": real(16, 32), "V": real(32, 8), "limit": np.float32(1.0)},
    ),
}  # fmt: skip


def built(case: Case, target: Target) -> Executable:
    model = model_from_proto(case.proto(), "m", dims=parse_dims(case.dims), only_own=False)
    split = split_model(model, Lowering(target), HybridOptions())
    return build_split(split, lambda partition: compile_model(partition, {}, target), target)[1].executable


@pytest.mark.parametrize("name", CASES)
def test_parts_take_turns_at_any_size(name: str, target: Target, tmp_path: Path) -> None:
    case = CASES[name]
    executable = built(case, target)
    parts = executable.signature.parts
    assert [part.split(":")[0] for part in parts].count("flextune") >= 1
    compare_at_sizes(case, executable, 8)
    saved = load_executable(executable.save(tmp_path / "m.so"))
    assert saved.dims == executable.dims
    compare_at_sizes(case, saved, 4)


def test_sizes_out_of_range_are_refused_by_the_whole(target: Target) -> None:
    case = CASES["rows that are chosen by values, and what is computed of them"]
    executable = built(case, target)
    with pytest.raises(UsageError, match=r"41 is out of the range n=1..40"):
        executable.run({"x": np.zeros((41, 16), np.float32)})
