from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tvm
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper, save
from tvm import relax

from flextune.apply.build import compile_model
from flextune.importing.model import load_model
from flextune.lowering.precision.lines import along_lines
from flextune.lowering.precision.precision import Precision
from flextune.plan.partition import partition_model
from flextune.target.detect import detect


def convolution(
    image: tuple[int, int], channels: int, taps: tuple[int, int], strides: tuple[int, int], padding: tuple[int, ...]
) -> tvm.IRModule:
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((*taps, channels, 5)).astype(np.float32)
    data = relax.Var("x", relax.TensorType((2, *image, channels), "float32"))
    builder = relax.BlockBuilder()
    with builder.function("main", [data]):
        with builder.dataflow():
            layouts = {"data_layout": "NHWC", "kernel_layout": "HWIO"}
            value = relax.op.nn.conv2d(data, relax.const(weight), strides=strides, padding=padding, **layouts)
            result = builder.emit_output(builder.emit(value))
        builder.emit_func_output(result)
    return builder.get()


def weights_of(module: tvm.IRModule) -> list[tuple[int, ...]]:
    found: list[tuple[int, ...]] = []

    def visit(value: object) -> None:
        if isinstance(value, tvm.ir.GenericConst):
            found.append(tuple(int(size) for size in value.ty.shape))

    relax.analysis.post_order_visit(module["main"].body, visit)
    return found


@given(
    image=st.tuples(st.integers(5, 9), st.integers(5, 9)),
    channels=st.sampled_from([1, 3, 5]),
    taps=st.tuples(st.integers(1, 3), st.integers(2, 4)),
    strides=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    padding=st.tuples(*[st.integers(0, 2)] * 4),
)
@settings(max_examples=8, deadline=None)
def test_it_is_the_same_convolution(
    image: tuple[int, int], channels: int, taps: tuple[int, int], strides: tuple[int, int], padding: tuple[int, ...]
) -> None:
    module = convolution(image, channels, taps, strides, padding)
    rewritten = along_lines(module)
    if weights_of(rewritten) == weights_of(module):
        return
    data = np.random.default_rng(1).standard_normal((2, *image, channels)).astype(np.float32)
    want, got = (run(each, data) for each in (module, rewritten))
    assert got.shape == want.shape
    assert np.abs(got - want).max() <= 1e-5 * np.abs(want).max() + 1e-6


def run(module: tvm.IRModule, data: np.ndarray) -> np.ndarray:
    from flextune.lowering.kernels import LoweredKernels

    machine = relax.VirtualMachine(
        tvm.compile(LoweredKernels().lower(module), target=tvm.target.Target({"kind": "llvm"})), tvm.cpu()
    )
    return np.asarray(machine["main"](tvm.runtime.tensor(data)).numpy())


@pytest.mark.parametrize(
    ("channels", "taps", "gains"), [(3, (7, 7), True), (1, (5, 5), True), (4, (7, 7), False), (3, (7, 1), False)]
)
def test_it_is_done_where_pairs_are_saved(channels: int, taps: tuple[int, int], gains: bool) -> None:
    (weight,) = weights_of(along_lines(convolution((16, 16), channels, taps, (2, 2), (0, 0, 0, 0))))
    assert weight == ((taps[0], taps[1] * channels, 1, 5) if gains else (*taps, channels, 5))


@pytest.mark.hardware("bf16")
def test_the_stem_of_a_model_multiplies_pairs_along_lines(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    weight = numpy_helper.from_array(rng.standard_normal((32, 3, 7, 7)).astype(np.float32) / 12, "w")
    node = helper.make_node("Conv", ["x", "w"], ["y"], strides=[2, 2], pads=[3, 3, 3, 3])
    values = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 30, 41])]
    results = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 32, 15, 21])]
    graph = helper.make_graph([node], "stem", values, results, [weight])
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "stem.onnx")
    model = load_model(tmp_path / "stem.onnx")
    narrow, wide = (partition_model(model, precision=Precision(name)) for name in ("bfloat16", "float32"))
    inputs = model.random_inputs(0)
    got, want = (compile_model(each, {}, detect()).executable.run(inputs)["y"] for each in (narrow, wide))
    assert any((7, 21, 1, 32) in [tuple(spec.shape) for spec in task.workload.inputs] for task in narrow.tasks)
    assert 0 < np.abs(got - want).max() <= 0.02 * np.abs(want).max()
